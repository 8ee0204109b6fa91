"""What tuning holds of one layer: the weight, and offsets and factors as whole quanta.

    v = offset * offset_quantum          offset: int16, or int32 for more than 255 iterations
    m = max(1 - drop * factor_quantum, 0)

In iteration i of n a value moves by n - i quanta, by n (n + 1) / 2 in all; 255 iterations give
32,640 quanta, the most that 16 bits hold.
"""

import math
from dataclasses import dataclass
from typing import Self

import torch

from tasks.core.errors import QuantizeError
from tasks.core.schemes import E2M1_MAX, E4M3_MAX, GROUP
from tasks.kernels.reference import Scales

INT16_ITERATIONS = 255


@dataclass(frozen=True)
class Quanta:
    """Sizes of the steps.

    Attributes:
        iterations: n.
        offset: learning rate of the offsets over n.
        factor: learning rate of the factors over n.
    """

    iterations: int
    offset: float
    factor: float

    @classmethod
    def of(cls, iterations: int, learning_rate: float, factor_rate: float) -> Self:
        """Quanta of a learning rate that falls to zero in equal steps."""
        return cls(iterations, learning_rate / iterations, factor_rate / iterations)

    @property
    def dtype(self) -> torch.dtype:
        """The smallest integer that holds every offset and every drop."""
        return torch.int16 if self.iterations <= INT16_ITERATIONS else torch.int32

    @property
    def floor(self) -> int:
        """The drop at which a factor is 0."""
        return min(math.ceil(1 / self.factor), torch.iinfo(self.dtype).max)


class LayerState:
    """Weight, tuned values and the best of them; on the weight's device.

    Attributes:
        weight: [out, in], bfloat16 or float32; not changed.
        divisor: float32 scalar, G.
        quanta: sizes of the steps.
        peaks: float32 [groups].
        offsets, best_offsets: integers [out, in].
        drops, best_drops: integers [groups].
        scales: of the present factors, where kernels keep them from the forward pass to the step.
        made: the quantized weight, where kernels keep it from a step to the next forward pass.

    Raises:
        QuantizeError: the weight is not finite.
    """

    def __init__(self, weight: torch.Tensor, divisor: torch.Tensor, quanta: Quanta) -> None:
        self.weight = weight.detach()
        self.divisor = divisor.to(weight.device, torch.float32).reshape(())
        self.quanta = quanta
        self.peaks = self.weight.view(-1, GROUP).abs().amax(1).float()
        if not torch.isfinite(self.peaks).all():
            raise QuantizeError(
                "a weight is not finite",
                expected="finite weights",
                found=f"{int((~torch.isfinite(self.weight)).sum())} others in a layer of shape "
                f"{tuple(weight.shape)}",
                remedy="look for broken weights in the base",
            )
        self.offsets = torch.zeros_like(self.weight, dtype=quanta.dtype)
        self.drops = torch.zeros_like(self.peaks, dtype=quanta.dtype)
        self.best_offsets = torch.zeros_like(self.offsets)
        self.best_drops = torch.zeros_like(self.drops)
        self.scales: Scales | None = None
        self.made: object = None

    @property
    def factors(self) -> torch.Tensor:
        """Factors m, float32 [groups]."""
        return factors_of(self.drops, self.quanta)

    def keep(self, better: torch.Tensor) -> None:
        """Take the present values for the best, where the bool scalar `better` says so."""
        if better:
            self.best_offsets.copy_(self.offsets)
            self.best_drops.copy_(self.drops)


def factors_of(drops: torch.Tensor, quanta: Quanta) -> torch.Tensor:
    """Factors m from how many quanta they lie below 1."""
    return (1.0 - drops.float() * quanta.factor).clamp_min(0.0)


def input_divisor(largest: torch.Tensor) -> torch.Tensor:
    """G of an activation whose largest magnitude is `largest`; float32 scalar, 0 for none.

    As AutoRound has it: `448 * 6 * (1 / max)`, the reciprocal rounded first.
    """
    peak = largest.float().abs().max()
    return torch.where(peak == 0, 0.0, E4M3_MAX * E2M1_MAX * (1.0 / peak))
