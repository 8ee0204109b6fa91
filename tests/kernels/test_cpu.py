"""The CPU's kernels, eager and compiled, against the reference, to the bit."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.kernels import eager
from tasks.kernels.eager import Eager, fast_scales
from tasks.kernels.linear import Kernels
from tasks.kernels.native import Native
from tasks.kernels.reference import (
    gradients,
    group_scales,
    input_gradient,
    quantize_input,
    quantize_weight,
)
from tasks.kernels.state import LayerState, Quanta, input_divisor
from tests.kernels.layers import Case, cases, make

ITERATIONS = 200
BOTH = pytest.mark.parametrize("kernels", [Eager(), Native()], ids=lambda kernels: kernels.name)
QUANTA = Quanta.of(ITERATIONS, 1 / ITERATIONS, 1 / ITERATIONS)


def _state(case: Case) -> LayerState:
    state = LayerState(case.weight, case.divisor, QUANTA)
    state.offsets = (case.offsets / QUANTA.offset).round().to(torch.int16)
    state.drops = ((1 - case.factors) / QUANTA.factor).round().to(torch.int16)
    return state


def _offsets(state: LayerState) -> torch.Tensor:
    return state.offsets.float() * QUANTA.offset


@BOTH
@settings(max_examples=150, deadline=None)
@given(case=cases)
def test_weights_equal_the_reference(kernels: Kernels, case: Case) -> None:
    """Every value of the quantized weight is the reference's."""
    state = _state(case)
    wanted = quantize_weight(case.weight, _offsets(state), state.factors, case.divisor).weight
    assert torch.equal(kernels.quantize_weight(state), wanted)


@BOTH
@settings(max_examples=150, deadline=None)
@given(case=cases, left=st.integers(1, ITERATIONS), better=st.booleans())
def test_steps_follow_the_references_signs(
    kernels: Kernels, case: Case, left: int, *, better: bool
) -> None:
    """Offsets and drops move by the pace against the signs of the reference's gradients.

    Offsets of a group without a scale decide nothing, and are not compared. Only a better loss
    replaces the snapshot, by the values before the step.
    """
    state = _state(case)
    before, drops = state.offsets.clone(), state.drops.clone()
    to_offsets, to_factors = gradients(
        case.weight, _offsets(state), state.factors, case.divisor, case.gradient
    )
    kernels.step(state, case.gradient, torch.tensor(left), torch.tensor(better))
    scaled = (
        (
            quantize_weight(
                case.weight, before, 1 - drops * QUANTA.factor, case.divisor
            ).scales.stored
            > 0
        )
        .expand(-1, 16)
        .reshape_as(before)
    )
    expected = before - left * torch.sign(to_offsets)
    assert torch.equal(state.offsets[scaled].float(), expected[scaled])
    certain = to_factors.abs() > to_factors.abs().max() * 1e-6
    moved = (drops + left * torch.sign(to_factors)).clamp(0, QUANTA.floor)
    assert torch.equal(state.drops[certain].float(), moved[certain])
    assert torch.equal(state.best_offsets, before if better else torch.zeros_like(before))
    assert torch.equal(state.best_drops, drops if better else torch.zeros_like(drops))


@BOTH
@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    dtype=st.sampled_from([torch.bfloat16, torch.float32]),
    share=st.floats(0.1, 1.5),
)
def test_activations_equal_the_reference(
    kernels: Kernels, seed: int, dtype: torch.dtype, share: float
) -> None:
    """Every value of a quantized activation is the reference's, contiguous or not."""
    generator = torch.Generator().manual_seed(seed)
    x = (torch.randn(3, 5, 80, generator=generator) * 7).to(dtype)[:, ::2]
    divisor = input_divisor(x.abs().max() * share)
    assert torch.equal(kernels.quantize_input(x, divisor), quantize_input(x, divisor))
    gradient = torch.randn(x.shape, generator=generator).to(dtype)
    made = kernels.input_gradient(x, divisor, gradient)
    assert made.dtype == dtype
    torch.testing.assert_close(made, input_gradient(x, divisor, gradient), rtol=2**-7, atol=1e-5)


def test_scales_equal_the_reference_over_the_whole_range() -> None:
    """Scales below the least e4m3 value, between all of them, on ties and beyond 448."""
    table = torch.arange(127, dtype=torch.uint8).view(torch.float8_e4m3fn).float()
    ties = (table[1:] + table[:-1]) / 2
    peaks = torch.cat((table, ties, ties.nextafter(table[1:]), torch.tensor([449.0, 1e9]))) * 6
    one = torch.ones_like(peaks)
    for divisor in (torch.tensor(1.0), torch.tensor(0.37)):
        wanted = group_scales(peaks, one, divisor)
        for ours, theirs in zip(fast_scales(peaks.clone(), divisor), wanted, strict=True):
            assert torch.equal(ours, theirs)


@BOTH
def test_no_group_is_left_out(kernels: Kernels) -> None:
    """A weight of several slabs, the last one short, is rounded as a whole one is."""
    case = make(5, 600, 40, torch.bfloat16, 8)
    assert len(case.factors) > eager._SLAB
    assert len(case.factors) % eager._SLAB
    state = _state(case)
    wanted = quantize_weight(case.weight, _offsets(state), state.factors, case.divisor).weight
    assert torch.equal(kernels.quantize_weight(state), wanted)
    kernels.step(state, case.gradient, torch.tensor(3), torch.tensor(data=True))
    moved = (state.offsets != state.best_offsets).view(-1, 16).any(1)
    assert moved[-(len(moved) % eager._SLAB) :].float().mean() > 0.9


def test_long_runs_use_wider_integers() -> None:
    """Above 255 iterations offsets take 32 bits, and both kernels still agree."""
    quanta = Quanta.of(300, 1 / 300, 1 / 300)
    case = make(11, 5, 3, torch.float32, 8)
    states = [LayerState(case.weight, case.divisor, quanta) for _ in range(2)]
    for state, kernels in zip(states, (Eager(), Native()), strict=True):
        for left in (300, 299, 40):
            kernels.step(state, case.gradient, torch.tensor(left), torch.tensor(data=False))
    assert states[0].offsets.dtype == torch.int32
    assert torch.equal(states[0].offsets, states[1].offsets)
    assert torch.equal(states[0].drops, states[1].drops)
