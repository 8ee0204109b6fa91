"""An activation is rounded, and a gradient taken back through its rounding.

    forward     read x; write q * r, and for FP8 gradient products turned = e4m3(q * s / 6), as
                for weights: q * r = turned * 6 / G
    backward    read x and h; write [0 < |x / r| <= 6] * h, and for each value of a group's
                largest magnitude also sign(x) / 6 * sum over the group of h * (q - x / r)

`turned` is [width, tokens]: the product that gives a weight's gradient sums over tokens, and FP8
matrix units want what they sum over to lie side by side.
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

FLAT, TURNED = (4, 256, 4), (64, 64, 8)


@triton.jit
def _quantize(
    x_at, divisor_at, made_at, turned_at, rows, cols,
    HIGH: tl.constexpr, WIDE: tl.constexpr, TURN: tl.constexpr,
):  # fmt: skip
    row, col = tile_of(cols, HIGH, WIDE)
    here, places = (row < rows) & (col < cols), row * cols + col
    grouped: tl.constexpr = (HIGH, WIDE // GROUP, GROUP)
    x = tl.reshape(tl.load(x_at + places, mask=here, other=0.0).to(tl.float32), grouped)
    stored, inverse, step, _ = scales_of(peaks_of(x), tl.load(divisor_at))
    codes = to_e2m1(within(x * inverse[:, :, None], E2M1_MAX))
    made = tl.reshape(codes * step[:, :, None], (HIGH, WIDE))
    tl.store(made_at + places, narrow(made, made_at.dtype.element_ty), mask=here)
    if TURN:
        eighth = tl.reshape(to_e4m3(codes * (stored * SIXTH)[:, :, None]), (HIGH, WIDE))
        tl.store(turned_at + col * rows + row, eighth.to(turned_at.dtype.element_ty), mask=here)


@triton.jit
def _gradient(
    x_at, divisor_at, gradient_at, made_at, rows, cols, HIGH: tl.constexpr, WIDE: tl.constexpr
):
    row, col = tile_of(cols, HIGH, WIDE)
    here, places = (row < rows) & (col < cols), row * cols + col
    grouped: tl.constexpr = (HIGH, WIDE // GROUP, GROUP)
    x = tl.reshape(tl.load(x_at + places, mask=here, other=0.0).to(tl.float32), grouped)
    h = tl.reshape(tl.load(gradient_at + places, mask=here, other=0.0).to(tl.float32), grouped)
    peaks = peaks_of(x)
    _, inverse, _, free = scales_of(peaks, tl.load(divisor_at))
    scaled = x * inverse[:, :, None]
    clamped = within(scaled, E2M1_MAX)
    inside = (clamped == scaled) & (scaled != 0)
    residues = (to_e2m1(clamped) - tl.where(inside, scaled, 0.0)) * h
    slope = tl.where(free, tl.reduce(residues, 2, plus) * SIXTH, 0.0)[:, :, None]
    top = peaks[:, :, None]
    to_peak = tl.where(x == top, slope, tl.where(x == -top, -slope, 0.0))
    made = tl.reshape(tl.where(inside, h, 0.0) + to_peak, (HIGH, WIDE))
    tl.store(made_at + places, narrow(made, made_at.dtype.element_ty), mask=here)


def quantize(
    x: torch.Tensor, divisor: torch.Tensor, made: torch.Tensor, turned: torch.Tensor | None
) -> None:
    """Round an activation on the fixed G of the calibration set.

    Args:
        x: [..., width], floating, contiguous; `width` divides by 16.
        divisor: float32 scalar, G.
        made: like x.
        turned: float8_e4m3fn [width, tokens], or None.
    """
    cols = x.shape[-1]
    rows = x.numel() // cols
    high, wide, warps = FLAT if turned is None else TURNED
    _quantize[(triton.cdiv(rows, high) * triton.cdiv(cols, wide),)](
        x, divisor, made, made if turned is None else turned, rows, cols,
        HIGH=high, WIDE=wide, TURN=turned is not None,
        num_warps=warps, enable_fp_fusion=False,
    )  # fmt: skip


def gradient(
    x: torch.Tensor, divisor: torch.Tensor, given: torch.Tensor, made: torch.Tensor
) -> None:
    """Gradient to an activation from the gradient to its quantized value.

    Args:
        x: [..., width], floating, contiguous.
        divisor: float32 scalar, G.
        given: the gradient, of x's shape, contiguous.
        made: like `given`.
    """
    cols = x.shape[-1]
    rows = x.numel() // cols
    high, wide, warps = FLAT
    _gradient[(triton.cdiv(rows, high) * triton.cdiv(cols, wide),)](
        x, divisor, given, made, rows, cols,
        HIGH=high, WIDE=wide, num_warps=warps, enable_fp_fusion=False,
    )  # fmt: skip
