"""The elementwise work on a card: `tasks.kernels.linear.Kernels`, by the Triton programs here.

Nothing waits for the card: paces and flags are read by the programs. The quantized weight lives
from a step to the next forward pass in a buffer of its own, which also makes its address constant,
as a recorded graph needs.
"""

from typing import NamedTuple

import torch

from tasks.core.schemes import E2M1_MAX
from tasks.kernels.fused import inputs, loss, weights
from tasks.kernels.state import LayerState

EIGHT = torch.float8_e4m3fn
_TILE = 16
"""FP8 matrix units take sides that divide by this."""


class Made(NamedTuple):
    """A quantized weight, and what it was made from.

    Attributes:
        weight: [out, in], of the weight's dtype.
        turned: e4m3 [in, out], or None where no FP8 product is wanted or possible.
        scale: float32 scalar: the weight is `turned` transposed times this.
        sources: offsets and drops, with the versions that torch counts of them.
    """

    weight: torch.Tensor
    turned: torch.Tensor | None
    scale: torch.Tensor
    sources: tuple[torch.Tensor, int, torch.Tensor, int]


class Fused:
    """Triton programs.

    Args:
        precision: of gradients' matrix products, `bf16` or `fp8`.
    """

    name = "triton"

    def __init__(self, precision: str = "bf16") -> None:
        self.precision = precision

    def made(self, layer: LayerState) -> Made:
        """The weight that the present offsets and factors give, made now or by the last step."""
        held = layer.made
        if isinstance(held, Made) and _fresh(held, layer):
            return held
        made = self._room(layer)
        weights.quantize(layer, made.weight, made.turned)
        layer.made = made
        return made

    def quantize_weight(self, layer: LayerState) -> torch.Tensor:
        """The weight that the present offsets and factors give; valid until the next step."""
        return self.made(layer).weight

    def step(
        self, layer: LayerState, gradient: torch.Tensor, pace: torch.Tensor, better: torch.Tensor
    ) -> None:
        """Keep the present values where they are the best, move them, and make the next weight."""
        made = layer.made
        if not (isinstance(made, Made) and _fresh(made, layer)):
            made = layer.made = self._room(layer)
        given = gradient.contiguous()
        weights.step(layer, given, pace, better, made.weight, made.turned)

    def quantize_input(self, x: torch.Tensor, divisor: torch.Tensor) -> torch.Tensor:
        """Round an activation [..., width] on the fixed G of the calibration set."""
        return self.both_inputs(x, divisor, turn=False)[0]

    def both_inputs(
        self, x: torch.Tensor, divisor: torch.Tensor, *, turn: bool
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """A quantized activation, and its transposed e4m3 copy [width, tokens] where wanted."""
        source = x.contiguous()
        width = x.shape[-1]
        tokens = x.numel() // width
        made = torch.empty_like(source)
        wanted = turn and tokens % _TILE == 0
        turned = torch.empty((width, tokens), dtype=EIGHT, device=x.device) if wanted else None
        inputs.quantize(source, divisor, made, turned)
        return made, turned

    def input_gradient(
        self, x: torch.Tensor, divisor: torch.Tensor, gradient: torch.Tensor
    ) -> torch.Tensor:
        """Gradient to an activation from the gradient to its quantized value."""
        given = gradient.contiguous()
        made = torch.empty_like(given)
        inputs.gradient(x.contiguous(), divisor, given, made)
        return made

    def squared_error(self, made: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        """Mean squared error of a block's output; a float32 scalar with a graph."""
        return loss.squared_error(made, wanted)

    def _room(self, layer: LayerState) -> Made:
        rows, cols = layer.weight.shape
        turn = self.precision == "fp8" and rows % _TILE == 0
        device = layer.weight.device
        turned = torch.empty((cols, rows), dtype=EIGHT, device=device) if turn else None
        scale = torch.where(layer.divisor == 0, 0.0, E2M1_MAX / layer.divisor)
        return Made(torch.empty_like(layer.weight), turned, scale, _sources(layer))


def _sources(layer: LayerState) -> tuple[torch.Tensor, int, torch.Tensor, int]:
    return layer.offsets, layer.offsets._version, layer.drops, layer.drops._version  # noqa: SLF001


def _fresh(made: Made, layer: LayerState) -> bool:
    """Whether nobody but the programs has changed offsets or drops: they go by uncounted."""
    offsets, first, drops, second = made.sources
    return (
        offsets is layer.offsets
        and drops is layer.drops
        and first == offsets._version  # noqa: SLF001
        and second == drops._version  # noqa: SLF001
    )
