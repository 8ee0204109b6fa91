"""What tuning NVFP4 computes, in plain torch, to be read and to be compared with.

A weight w is split along its rows into groups of 16. Tuning looks for a rounding offset v of each
weight and a factor m of each group's scale. With

    G = 448 * 6 / max |w|                one float32 divisor for the tensor
    p = max |w in group|
    s = e4m3(min(G * (p * m / 6), 448))  what is stored
    r = s / G                            the step between codes
    x = w / r + v
    q = e2m1(x)                          the stored code's value, |q| <= 6

the weight becomes q * r. Rounding (e4m3, e2m1) counts as the identity in the backward pass and
clamping to a range as a gate, so for a loss L with gradient g to q * r

    dL/dv = g * r                        where 0 < |x| <= 6, else 0
    dL/dm = (p / 6) * sum over the group of g * (q - [0 < |x| <= 6] * w / r)
                                         where G * (p * m / 6) <= 448 and s > 0, else 0

Signed steps need the signs alone, and r, p >= 0: the sign of dL/dv is that of g inside the range,
and the sign of dL/dm is that of the sum. In iteration i of n, offsets move by n - i quanta of
lr / n against the sign of their gradient, so a small integer holds an offset exactly, and another
holds how many quanta a factor lies below 1. Factors stay in [0, 1].

An activation y is quantized the same way with v = 0, m = 1 and G = 448 * 6 / max |y| over the
calibration set. It is p's source too, so with h the gradient to its quantized value

    dL/dy = [0 < |x| <= 6] * h, and for the group's largest y also
            sign(y) / 6 * sum over the group of h * (q - [0 < |x| <= 6] * x)    where as above

The numbers are AutoRound 0.16.1's (`auto_round.data_type.nvfp.ref_nvfp4_quant` and its autograd
gradients), bit for bit in the forward pass. There r and 1 / r are reciprocals of each other, each
rounded to float32; that order of operations is kept.
"""

from typing import NamedTuple

import torch

from tasks.core.schemes import E2M1_MAX, E4M3_MAX, GROUP

_SIXTH = 1.0 / E2M1_MAX


class Scales(NamedTuple):
    """The scale of each group; float32 [groups, 1] but for `free`.

    Attributes:
        stored: s, a value of e4m3.
        inverse: 1 / r, 0 where s is 0.
        step: r.
        free: bool, whether a gradient reaches the factor.
    """

    stored: torch.Tensor
    inverse: torch.Tensor
    step: torch.Tensor
    free: torch.Tensor


def group_scales(peaks: torch.Tensor, factors: torch.Tensor, divisor: torch.Tensor) -> Scales:
    """Scales of groups.

    Args:
        peaks: float32 [groups, 1], the largest magnitude of each group.
        factors: float32 [groups, 1], m.
        divisor: float32 scalar, G.
    """
    wanted = divisor * (peaks * factors * _SIXTH)
    stored = wanted.clamp(-E4M3_MAX, E4M3_MAX).to(torch.float8_e4m3fn).float()
    inverse = _reciprocal(stored * _reciprocal(divisor))
    return Scales(stored, inverse, _reciprocal(inverse), (wanted <= E4M3_MAX) & (stored > 0))


def _reciprocal(value: torch.Tensor) -> torch.Tensor:
    return torch.where(value == 0, torch.zeros_like(value), 1.0 / value)


def round_e2m1(x: torch.Tensor) -> torch.Tensor:
    """The nearest of 0, .5, 1, 1.5, 2, 3, 4, 6 and their negatives; ties go to the even code.

    Args:
        x: float32, at most 6 in magnitude.
    """
    size = x.abs()
    low = torch.round(size * 2) / 2
    high = torch.where(size < 4, torch.round(size), 2 * torch.round(size / 2))  # noqa: PLR2004
    return torch.copysign(torch.where(size < 2, low, high), x)  # noqa: PLR2004


class Quantized(NamedTuple):
    """A weight with its codes and scales.

    Attributes:
        weight: q * r, of the weight's dtype and shape.
        codes: q, float32 [groups, 16].
        scales: of the groups.
    """

    weight: torch.Tensor
    codes: torch.Tensor
    scales: Scales


def quantize_weight(
    weight: torch.Tensor, offsets: torch.Tensor, factors: torch.Tensor, divisor: torch.Tensor
) -> Quantized:
    """Round a weight as its offsets and factors say.

    Args:
        weight: [out, in], floating; `in` divides by 16.
        offsets: float32 [out, in], v.
        factors: float32 [groups], m.
        divisor: float32 scalar, G.
    """
    groups = weight.reshape(-1, GROUP).float()
    scales = group_scales(groups.abs().amax(1, keepdim=True), factors.view(-1, 1), divisor)
    x = groups * scales.inverse + offsets.reshape(-1, GROUP)
    codes = round_e2m1(x.clamp(-E2M1_MAX, E2M1_MAX))
    return Quantized((codes * scales.step).view_as(weight).to(weight.dtype), codes, scales)


def gradients(
    weight: torch.Tensor,
    offsets: torch.Tensor,
    factors: torch.Tensor,
    divisor: torch.Tensor,
    gradient: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Gradients to offsets, float32 [out, in], and to factors, float32 [groups].

    Args:
        weight: [out, in], floating.
        offsets: float32 [out, in], v.
        factors: float32 [groups], m.
        divisor: float32 scalar, G.
        gradient: [out, in], floating: the gradient to the quantized weight.
    """
    groups = weight.reshape(-1, GROUP).float()
    _, codes, scales = quantize_weight(weight, offsets, factors, divisor)
    scaled = groups * scales.inverse
    x = scaled + offsets.reshape(-1, GROUP)
    inside = (x != 0) & (x.abs() <= E2M1_MAX)
    g = gradient.reshape(-1, GROUP).float()
    to_offsets = torch.where(inside, g * scales.step, 0.0)
    residue = (g * (codes - torch.where(inside, scaled, 0.0))).sum(1, keepdim=True)
    peaks = groups.abs().amax(1, keepdim=True)
    to_factors = torch.where(scales.free, peaks * _SIXTH * residue, 0.0)
    return to_offsets.view_as(weight), to_factors.view(-1)


def quantize_input(x: torch.Tensor, divisor: torch.Tensor) -> torch.Tensor:
    """Round an activation [..., width], floating; of the same dtype and shape.

    Args:
        x: `width` divides by 16.
        divisor: float32 scalar, G of the calibration set.
    """
    groups = x.reshape(-1, GROUP).float()
    peaks = groups.abs().amax(1, keepdim=True)
    scales = group_scales(peaks, torch.ones_like(peaks), divisor)
    codes = round_e2m1((groups * scales.inverse).clamp(-E2M1_MAX, E2M1_MAX))
    return (codes * scales.step).view_as(x).to(x.dtype)


def input_gradient(x: torch.Tensor, divisor: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    """Gradient to an activation [..., width] from the gradient to its quantized value; alike.

    AutoRound gives the scale's part to the first of several largest values; here each gets it.
    """
    groups, g = x.reshape(-1, GROUP).float(), gradient.reshape(-1, GROUP).float()
    size = groups.abs()
    peaks = size.amax(1, keepdim=True)
    scales = group_scales(peaks, torch.ones_like(peaks), divisor)
    scaled = groups * scales.inverse
    inside = (scaled != 0) & (scaled.abs() <= E2M1_MAX)
    residues = round_e2m1(scaled.clamp(-E2M1_MAX, E2M1_MAX)) - torch.where(inside, scaled, 0.0)
    to_peak = torch.where(scales.free, _SIXTH * (g * residues).sum(1, keepdim=True), 0.0)
    made = torch.where(inside, g, 0.0) + torch.where(size == peaks, groups.sign() * to_peak, 0.0)
    return made.view_as(x).to(gradient.dtype)
