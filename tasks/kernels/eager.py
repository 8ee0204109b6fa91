"""The numbers of `reference`, in few passes and little memory, for any device.

Codes are rounded by one addition: with b the power of two at or below |x|, but at least 1,
neighbouring codes lie b / 2 apart, and

    (x + 1.5 * 2^22 * b) - 1.5 * 2^22 * b

rounds x to a multiple of b / 2, ties to even, as float32 has 24 bits. Scales are rounded to e4m3
alike, to a multiple of b / 8 with b at least 2^-6. Work goes in slabs that stay in the processor's
cache.
"""

from collections.abc import Iterator

import torch
from torch.nn import functional

from tasks.core.schemes import E2M1_MAX, E4M3_MAX, GROUP
from tasks.kernels.reference import Scales
from tasks.kernels.state import LayerState

_EXPONENT = 0x7F800000
_E2M1 = 1.5 * 2.0**22
_E4M3 = 1.5 * 2.0**20
_LEAST = 2.0**-6
_SIXTH = 1.0 / E2M1_MAX
_TINY = torch.finfo(torch.float32).tiny
_SLAB, _WIDE_SLAB = 1 << 14, 1 << 22
"""Groups of a slab: 1 MiB of float32, where a processor's cache counts, and 256 MiB elsewhere."""


class Eager:
    """Plain torch operations, one after another."""

    name = "eager"
    precision = ""

    def quantize_weight(self, layer: LayerState) -> torch.Tensor:
        """The weight that the present offsets and factors give; [out, in], the weight's dtype."""
        made = torch.empty_like(layer.weight)
        scales = _scales(layer)
        for slab in _slabs(layer.peaks):
            _, x = _offset(layer, scales, slab)
            codes = _round(x.clamp_(-E2M1_MAX, E2M1_MAX))
            _groups(made)[slab] = codes.mul_(scales.step[slab, None])
        return made

    def step(
        self, layer: LayerState, gradient: torch.Tensor, pace: torch.Tensor, better: torch.Tensor
    ) -> None:
        """Keep the present values where they are the best, then move them.

        Args:
            layer: its offsets and drops change.
            gradient: to the quantized weight, [out, in].
            pace: int32 scalar, quanta to move by.
            better: bool scalar, whether the present values gave the least loss so far.
        """
        layer.keep(better)
        quanta = int(pace)
        scales = _scales(layer)
        uphill = torch.empty_like(layer.peaks)
        for slab in _slabs(layer.peaks):
            scaled, x = _offset(layer, scales, slab)
            codes = x.clamp(-E2M1_MAX, E2M1_MAX)
            outside = (codes != x).logical_or_(x == 0)
            g = _groups(gradient)[slab]
            moved = torch.sign(g).masked_fill_(outside, 0).to(layer.offsets.dtype)
            _groups(layer.offsets)[slab].sub_(moved.mul_(quanta))
            residues = _round(codes).sub_(scaled.masked_fill_(outside, 0))
            torch.sum(residues.mul_(g), 1, out=uphill[slab])
        uphill = uphill.sign_().mul_(scales.free).to(layer.drops.dtype)
        layer.drops.add_(uphill.mul_(quanta)).clamp_(0, layer.quanta.floor)
        layer.scales = None

    def quantize_input(self, x: torch.Tensor, divisor: torch.Tensor) -> torch.Tensor:
        """Round an activation [..., width] on the fixed G of the calibration set."""
        source = x.contiguous()
        made = torch.empty_like(source)
        for slab in _slabs(source.view(-1, GROUP)):
            values = _groups(source)[slab]
            scales = fast_scales(_peaks(values), divisor)
            scaled = (values * scales.inverse[:, None]).clamp_(-E2M1_MAX, E2M1_MAX)
            _groups(made)[slab] = _round(scaled).mul_(scales.step[:, None])
        return made

    def input_gradient(
        self, x: torch.Tensor, divisor: torch.Tensor, gradient: torch.Tensor
    ) -> torch.Tensor:
        """Gradient to an activation from the gradient to its quantized value."""
        source, given = x.contiguous(), gradient.contiguous()
        made = torch.empty_like(given)
        for slab in _slabs(source.view(-1, GROUP)):
            values, g = _groups(source)[slab], _groups(given)[slab]
            peaks = _peaks(values)
            scales = fast_scales(peaks.clone(), divisor)
            scaled = values * scales.inverse[:, None]
            codes = scaled.clamp(-E2M1_MAX, E2M1_MAX)
            outside = (codes != scaled).logical_or_(scaled == 0)
            residues = _round(codes).sub_(scaled.masked_fill_(outside, 0)).mul_(g)
            to_peak = residues.sum(1).mul_(scales.free).mul_(_SIXTH).div_(peaks.clamp_min_(_TINY))
            largest = values.abs() == peaks[:, None]
            scaled = torch.where(largest, values, 0).mul(to_peak[:, None])
            torch.add(g.masked_fill(outside, 0), scaled, out=_groups(made)[slab])
        return made

    def squared_error(self, made: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        """Mean squared error of a block's output; a float32 scalar with a graph."""
        return functional.mse_loss(made.float(), wanted.float())


def _scales(layer: LayerState) -> Scales:
    """Scales of the present factors, for the forward pass and the step after it."""
    if layer.scales is None:
        layer.scales = fast_scales(layer.peaks * layer.factors, layer.divisor)
    return layer.scales


def _offset(layer: LayerState, scales: Scales, slab: slice) -> tuple[torch.Tensor, torch.Tensor]:
    """`w / r` and `x = w / r + v` of a slab; float32 [groups, 16]."""
    scaled = _groups(layer.weight)[slab] * scales.inverse[slab, None]
    return scaled, _groups(layer.offsets)[slab].float().mul_(layer.quanta.offset).add_(scaled)


def fast_scales(peaks: torch.Tensor, divisor: torch.Tensor) -> Scales:
    """What `reference.group_scales` gives for `p * m`; all [groups], `peaks` is overwritten."""
    wanted = peaks.mul_(_SIXTH).mul_(divisor)
    stored = _snap(wanted.clamp(max=E4M3_MAX), _LEAST, _E4M3)
    inverse = torch.reciprocal(stored * torch.where(divisor == 0, 0.0, 1.0 / divisor))
    step = torch.reciprocal(inverse)
    free = (wanted <= E4M3_MAX).logical_and_(stored > 0)
    return Scales(stored, inverse.nan_to_num_(posinf=0.0), step, free)


def _peaks(values: torch.Tensor) -> torch.Tensor:
    """Largest magnitude of each row, float32 [rows]; integers order magnitudes as floats do."""
    kind = torch.int16 if values.dtype == torch.bfloat16 else torch.int32
    top = values.view(kind).bitwise_and(torch.iinfo(kind).max).amax(1)
    return top.view(values.dtype).to(torch.float32, copy=True)


def _round(x: torch.Tensor) -> torch.Tensor:
    """Round float32 values of at most 6 to E2M1, in place."""
    return _snap(x, 1.0, _E2M1)


def _snap(x: torch.Tensor, least: float, magic: float) -> torch.Tensor:
    """Round float32 values to the multiples that `magic` and `least` set, in place."""
    power = x.view(torch.int32).bitwise_and(_EXPONENT).view(torch.float32)
    power.clamp_(min=least).mul_(magic)
    return x.add_(power).sub_(power)


def _groups(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.view(-1, GROUP)


def _slabs(groups: torch.Tensor) -> Iterator[slice]:
    size = _SLAB if groups.device.type == "cpu" else _WIDE_SLAB
    return (slice(start, start + size) for start in range(0, len(groups), size))
