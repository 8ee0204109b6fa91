"""The formulas of `tasks.kernels.reference` inside a Triton program.

A tile of HIGH rows and WIDE columns is looked at as [HIGH, WIDE / 16, 16], so that a group lies
along the last axis. Values are rounded by one addition: with b the power of two at or below |x|,
but at least `least`, and magic a multiple of 1.5 * 2^23 / 2^(bits kept),

    (x + magic * b) - magic * b

rounds x to the grid that `least` and `magic` set, ties to even:

    E2M1    least 1       magic 1.5 * 2^22     0, .5, 1, 1.5, 2, 3, 4, 6
    E4M3    least 2^-6    magic 1.5 * 2^20     what float8_e4m3fn holds, up to 448

It needs no conversion that only some cards have. Launch with `enable_fp_fusion=False`: x * y + v
must round twice, as torch's does, and divisions are IEEE's (`div_rn`), not the fast ones.
"""

import triton
import triton.language as tl

GROUP = tl.constexpr(16)
SIXTH = tl.constexpr(1.0 / 6.0)
E2M1_MAX = tl.constexpr(6.0)
E4M3_MAX = tl.constexpr(448.0)
_EXPONENT = tl.constexpr(0x7F800000)
_E2M1_MAGIC = tl.constexpr(1.5 * 2.0**22)
_E4M3_LEAST = tl.constexpr(2.0**-6)
_E4M3_MAGIC = tl.constexpr(1.5 * 2.0**20)
_BF16_LEAST = tl.constexpr(2.0**-126)
_BF16_MAGIC = tl.constexpr(1.5 * 2.0**16)


larger = tl.standard._elementwise_max  # noqa: SLF001 - the interpreter is fast with its own
plus = tl.standard._sum_combine  # noqa: SLF001


@triton.jit
def _snap(x, least, magic):
    power = (x.to(tl.int32, bitcast=True) & _EXPONENT).to(tl.float32, bitcast=True)
    power = tl.maximum(power, least) * magic
    return (x + power) - power


@triton.jit
def to_e2m1(x):
    """Round float32 values of at most 6 to E2M1."""
    return _snap(x, 1.0, _E2M1_MAGIC)


@triton.jit
def to_e4m3(x):
    """Round float32 values to E4M3, those beyond 448 to 448."""
    return _snap(within(x, E4M3_MAX), _E4M3_LEAST, _E4M3_MAGIC)


_INTERPRETED = tl.constexpr(not isinstance(_snap, triton.JITFunction))


@triton.jit
def narrow(x, kind: tl.constexpr):
    """Float32 values as a narrower type, ties to even; Triton's interpreter would cut them off."""
    if _INTERPRETED and kind == tl.bfloat16:
        x = _snap(x, _BF16_LEAST, _BF16_MAGIC)
    return x.to(kind)


@triton.jit
def within(x, most):
    """Clamp to -most .. most."""
    return tl.minimum(tl.maximum(x, -most), most)


@triton.jit
def reciprocal(x):
    """1 / x rounded once; 0 for 0."""
    return tl.where(x == 0, 0.0, tl.div_rn(1.0, tl.where(x == 0, 1.0, x)))


@triton.jit
def peaks_of(groups):
    """Largest magnitude of each group: [.., .., 16] to [.., ..]."""
    return tl.reduce(tl.abs(groups), 2, larger)


@triton.jit
def scales_of(peaks, divisor):
    """s, 1 / r, r and whether a gradient reaches the factor, of groups whose p * m is `peaks`."""
    wanted = divisor * (peaks * SIXTH)
    stored = to_e4m3(wanted)
    inverse = reciprocal(stored * reciprocal(divisor))
    return stored, inverse, reciprocal(inverse), (wanted <= E4M3_MAX) & (stored > 0)


@triton.jit
def tile_of(cols, HIGH: tl.constexpr, WIDE: tl.constexpr):
    """This program's row numbers [HIGH, 1] and column numbers [1, WIDE]; int64, they may pass."""
    across = (cols + WIDE - 1) // WIDE
    row = (tl.program_id(0) // across).to(tl.int64) * HIGH + tl.arange(0, HIGH)[:, None]
    col = (tl.program_id(0) % across).to(tl.int64) * WIDE + tl.arange(0, WIDE)[None, :]
    return row, col
