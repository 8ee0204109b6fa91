"""Layers that are hard to round: wide ranges, zeros, all-zero groups, ties, every dtype."""

from dataclasses import dataclass

import torch
from hypothesis import strategies as st

from tasks.core.schemes import E2M1_MAX, E4M3_MAX, GROUP


@dataclass(frozen=True)
class Case:
    """A weight with values of everything that tuning moves, and a gradient to it."""

    weight: torch.Tensor
    offsets: torch.Tensor
    factors: torch.Tensor
    divisor: torch.Tensor
    gradient: torch.Tensor


def make(seed: int, rows: int, groups: int, dtype: torch.dtype, quanta: int) -> Case:
    """A layer of shape [rows, groups * 16] from a seed; offsets and factors are whole quanta."""
    generator = torch.Generator().manual_seed(seed)
    shape = (rows, groups * GROUP)
    spread = 10 ** torch.empty(shape).uniform_(-3, 1, generator=generator)
    weight = (torch.randn(shape, generator=generator) * spread).to(dtype)
    weight[0, ::3] = 0
    weight[-1, :GROUP] = 0
    steps = torch.randint(-quanta, quanta + 1, shape, generator=generator)
    offsets = steps.float() * (0.5 / quanta)
    offsets[0] = 0
    drops = torch.randint(0, quanta, (rows * groups,), generator=generator)
    drops[::3] = 0
    return Case(
        weight,
        offsets,
        1.0 - drops.float() * (0.5 / quanta),
        E4M3_MAX * E2M1_MAX / weight.float().abs().max().clamp_min(1e-30),
        torch.randn(shape, generator=generator).to(dtype),
    )


cases = st.builds(
    make,
    st.integers(0, 2**32 - 1),
    st.integers(1, 9),
    st.integers(1, 7),
    st.sampled_from([torch.bfloat16, torch.float32]),
    st.sampled_from([1, 2, 8, 100]),
)
