"""A gradient becomes e4m3, as it lies and transposed, in two passes over memory.

    peak    read g; write p = max |g|
    cast    read g; write e4m3(g * 448 / p) as [tokens, out] and as [out, tokens]

The product for the input sums over `out`, the one for the weight over tokens; each wants its own
layout. The largest magnitude is found with an atomic maximum over bit patterns, which order
magnitudes as floats do, so its value does not depend on the order of the programs.

A wider gradient is narrowed to bfloat16 first: of float32 tiles that are stored both ways Triton
3.6 stores the transposed one wrongly, and eight bits keep what sixteen have.
"""

from typing import NamedTuple

import torch
import triton
import triton.language as tl

from tasks.kernels.fused.rounding import E4M3_MAX, larger, tile_of, to_e4m3

_CHUNK, _TILE = (1 << 13, 8), (64, 64, 8)


@triton.jit
def _peak(x_at, peak_at, count, CHUNK: tl.constexpr):
    place = tl.program_id(0).to(tl.int64) * CHUNK + tl.arange(0, CHUNK)
    x = tl.load(x_at + place, mask=place < count, other=0.0).to(tl.float32)
    tl.atomic_max(peak_at, tl.reduce(tl.abs(x), 0, larger).to(tl.int32, bitcast=True))


@triton.jit
def _cast(
    x_at, peak_at, plain_at, turned_at, scale_at, rows, cols,
    HIGH: tl.constexpr, WIDE: tl.constexpr, PLAIN: tl.constexpr,
):  # fmt: skip
    row, col = tile_of(cols, HIGH, WIDE)
    here = (row < rows) & (col < cols)
    peak = tl.load(peak_at).to(tl.float32, bitcast=True)
    peak = tl.where(peak == 0, 1.0, peak)
    x = tl.load(x_at + row * cols + col, mask=here, other=0.0).to(tl.float32)
    eight = to_e4m3(x * tl.div_rn(E4M3_MAX, peak)).to(turned_at.dtype.element_ty)
    tl.store(turned_at + col * rows + row, eight, mask=here)
    if PLAIN:
        tl.store(plain_at + row * cols + col, eight, mask=here)
    if tl.program_id(0) == 0:
        tl.store(scale_at, tl.div_rn(peak, E4M3_MAX))


class Cast(NamedTuple):
    """A matrix [rows, cols] in e4m3.

    Attributes:
        plain: [rows, cols], or None.
        turned: [cols, rows].
        scale: float32 scalar: the matrix is `plain * scale`.
    """

    plain: torch.Tensor | None
    turned: torch.Tensor
    scale: torch.Tensor


def cast(x: torch.Tensor, *, plain: bool) -> Cast:
    """A contiguous floating matrix [rows, cols] in e4m3; as it lies only where `plain` says so."""
    x = x.bfloat16()
    rows, cols = x.shape
    eight = torch.float8_e4m3fn
    peak = torch.zeros((), dtype=torch.int32, device=x.device)
    scale = torch.empty((), dtype=torch.float32, device=x.device)
    turned = torch.empty((cols, rows), dtype=eight, device=x.device)
    made = torch.empty((rows, cols), dtype=eight, device=x.device) if plain else None
    chunk, warps = _CHUNK
    _peak[(triton.cdiv(x.numel(), chunk),)](x, peak, x.numel(), CHUNK=chunk, num_warps=warps)
    high, wide, warps = _TILE
    _cast[(triton.cdiv(rows, high) * triton.cdiv(cols, wide),)](
        x, peak, turned if made is None else made, turned, scale, rows, cols,
        HIGH=high, WIDE=wide, PLAIN=plain, num_warps=warps, enable_fp_fusion=False,
    )  # fmt: skip
    return Cast(made, turned, scale)
