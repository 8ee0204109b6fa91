"""A weight is rounded, stepped and rounded again, in one pass over memory.

The step of an iteration already knows the weight of the next one, so it writes it, and the forward
pass finds it made. With w, offsets k and the gradient g in 16-bit numbers a weight costs

    quantize   read w, k; write q * r                     6 bytes, once a block
    step       read w, k, g; write k, q * r              10 bytes an iteration
               write the best k                           2 bytes, when the loss was the least

`turned` is a second copy of the quantized weight for FP8 gradient products, transposed, as e4m3:

    turned = e4m3(q * s / 6)        |q * s| <= 6 * 448, and q * r = turned * 6 / G

No scale has to be looked for: G is one.
"""

import torch
import triton
import triton.language as tl

from tasks.kernels.fused.rounding import (
    E2M1_MAX,
    GROUP,
    SIXTH,
    narrow,
    peaks_of,
    plus,
    scales_of,
    tile_of,
    to_e2m1,
    to_e4m3,
    within,
)
from tasks.kernels.state import LayerState

FLAT, TURNED = (4, 256, 4), (64, 64, 4)
"""Rows, columns and warps of a tile, without and with the transposed copy."""


@triton.jit
def _factors(drops, quantum):
    return tl.maximum(1.0 - drops.to(tl.float32) * quantum, 0.0)


@triton.jit
def _write(
    codes, stored, step, made_at, turned_at, row, col, rows, cols,
    HIGH: tl.constexpr, WIDE: tl.constexpr, TURN: tl.constexpr,
):  # fmt: skip
    """Store q * r, and its transposed e4m3 copy."""
    here = (row < rows) & (col < cols)
    made = tl.reshape(codes * step[:, :, None], (HIGH, WIDE))
    tl.store(made_at + row * cols + col, narrow(made, made_at.dtype.element_ty), mask=here)
    if TURN:
        eighth = tl.reshape(to_e4m3(codes * (stored * SIXTH)[:, :, None]), (HIGH, WIDE))
        tl.store(turned_at + col * rows + row, eighth.to(turned_at.dtype.element_ty), mask=here)


@triton.jit
def _quantize(
    weight_at, offsets_at, drops_at, divisor_at, made_at, turned_at,
    offset_quantum, factor_quantum, rows, cols,
    HIGH: tl.constexpr, WIDE: tl.constexpr, TURN: tl.constexpr,
):  # fmt: skip
    row, col = tile_of(cols, HIGH, WIDE)
    here, places = (row < rows) & (col < cols), row * cols + col
    grouped: tl.constexpr = (HIGH, WIDE // GROUP, GROUP)
    w = tl.reshape(tl.load(weight_at + places, mask=here, other=0.0).to(tl.float32), grouped)
    k = tl.reshape(tl.load(offsets_at + places, mask=here, other=0).to(tl.float32), grouped)
    _, group = tile_of(cols // GROUP, HIGH, WIDE // GROUP)
    at = row * (cols // GROUP) + group
    drops = tl.load(drops_at + at, mask=(row < rows) & (group < cols // GROUP), other=0)
    peaks, divisor = peaks_of(w), tl.load(divisor_at)
    stored, inverse, step, _ = scales_of(peaks * _factors(drops, factor_quantum), divisor)
    x = w * inverse[:, :, None] + k * offset_quantum
    codes = to_e2m1(within(x, E2M1_MAX))
    _write(codes, stored, step, made_at, turned_at, row, col, rows, cols, HIGH, WIDE, TURN)


@triton.jit
def _step(
    weight_at, offsets_at, drops_at, best_offsets_at, best_drops_at, divisor_at,
    gradient_at, pace_at, better_at, made_at, turned_at,
    offset_quantum, factor_quantum, most, rows, cols,
    HIGH: tl.constexpr, WIDE: tl.constexpr, TURN: tl.constexpr,
):  # fmt: skip
    row, col = tile_of(cols, HIGH, WIDE)
    here, places = (row < rows) & (col < cols), row * cols + col
    grouped: tl.constexpr = (HIGH, WIDE // GROUP, GROUP)
    w = tl.reshape(tl.load(weight_at + places, mask=here, other=0.0).to(tl.float32), grouped)
    g = tl.reshape(tl.load(gradient_at + places, mask=here, other=0.0).to(tl.float32), grouped)
    held = tl.load(offsets_at + places, mask=here, other=0)
    _, group = tile_of(cols // GROUP, HIGH, WIDE // GROUP)
    at, there = row * (cols // GROUP) + group, (row < rows) & (group < cols // GROUP)
    drops = tl.load(drops_at + at, mask=there, other=0)
    if tl.load(better_at) != 0:
        tl.store(best_offsets_at + places, held, mask=here)
        tl.store(best_drops_at + at, drops, mask=there)

    peaks, divisor, pace = peaks_of(w), tl.load(divisor_at), tl.load(pace_at)
    _, inverse, _, free = scales_of(peaks * _factors(drops, factor_quantum), divisor)
    k = tl.reshape(held.to(tl.int32), grouped)
    scaled = w * inverse[:, :, None]
    x = scaled + k.to(tl.float32) * offset_quantum
    clamped = within(x, E2M1_MAX)
    inside = (clamped == x) & (x != 0)
    uphill = tl.where(g > 0, 1, 0) - tl.where(g < 0, 1, 0)
    k -= tl.where(inside, uphill, 0) * pace
    slope = tl.reduce((to_e2m1(clamped) - tl.where(inside, scaled, 0.0)) * g, 2, plus)
    steeper = tl.where(slope > 0, 1, 0) - tl.where(slope < 0, 1, 0)
    drops = drops.to(tl.int32) + tl.where(free, steeper, 0) * pace
    drops = tl.minimum(tl.maximum(drops, 0), most)
    moved = tl.reshape(k, (HIGH, WIDE)).to(offsets_at.dtype.element_ty)
    tl.store(offsets_at + places, moved, mask=here)
    tl.store(drops_at + at, drops.to(drops_at.dtype.element_ty), mask=there)

    stored, inverse, step, _ = scales_of(peaks * _factors(drops, factor_quantum), divisor)
    x = w * inverse[:, :, None] + k.to(tl.float32) * offset_quantum
    codes = to_e2m1(within(x, E2M1_MAX))
    _write(codes, stored, step, made_at, turned_at, row, col, rows, cols, HIGH, WIDE, TURN)


def quantize(layer: LayerState, made: torch.Tensor, turned: torch.Tensor | None) -> None:
    """Write the weight that the present offsets and factors give.

    Args:
        layer: of a weight [out, in].
        made: [out, in], of the weight's dtype.
        turned: float8_e4m3fn [in, out], or None.
    """
    rows, cols = layer.weight.shape
    high, wide, warps = FLAT if turned is None else TURNED
    _quantize[(triton.cdiv(rows, high) * triton.cdiv(cols, wide),)](
        layer.weight, layer.offsets, layer.drops, layer.divisor,
        made, made if turned is None else turned,
        layer.quanta.offset, layer.quanta.factor, rows, cols,
        HIGH=high, WIDE=wide, TURN=turned is not None,
        num_warps=warps, enable_fp_fusion=False,
    )  # fmt: skip


def step(
    layer: LayerState,
    gradient: torch.Tensor,
    pace: torch.Tensor,
    better: torch.Tensor,
    made: torch.Tensor,
    turned: torch.Tensor | None,
    tile: tuple[int, int, int] | None = None,
) -> None:
    """Keep the present values where they are the best, move them, and write the weight they give.

    Args:
        layer: its offsets, drops and the best of them change.
        gradient: to the quantized weight, [out, in], contiguous.
        pace: int32 scalar, quanta to move by.
        better: bool scalar, whether the present values gave the least loss so far.
        made: as of `quantize`.
        turned: as of `quantize`.
        tile: rows, columns and warps of a tile, powers of two, columns at least 16.
    """
    rows, cols = layer.weight.shape
    high, wide, warps = tile or (FLAT if turned is None else TURNED)
    _step[(triton.cdiv(rows, high) * triton.cdiv(cols, wide),)](
        layer.weight, layer.offsets, layer.drops, layer.best_offsets, layer.best_drops,
        layer.divisor, gradient, pace, better.view(torch.uint8),
        made, made if turned is None else turned,
        layer.quanta.offset, layer.quanta.factor, layer.quanta.floor, rows, cols,
        HIGH=high, WIDE=wide, TURN=turned is not None,
        num_warps=warps, enable_fp_fusion=False,
    )  # fmt: skip
