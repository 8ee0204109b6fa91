"""A linear layer whose weight is tuned inside its own backward pass.

    forward     y = X W'          X = quantized input, W' = quantized weight
    backward    dX = dY W'        then through the input's quantization
                dW = dY^T X       used at once to step offsets and factors, then dropped

No gradient of a weight outlives its layer's backward pass, and there is no optimizer. Layers that
read the same input (query, key and value; gate and up) share one quantized copy of it.
"""

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch.nn import functional

from tasks.kernels.fused.replay import Recorder
from tasks.kernels.state import LayerState


class Kernels(Protocol):
    """An implementation of the elementwise work; `eager.Eager` documents them.

    Attributes:
        name: for logs.
        precision: of gradients' matrix products; empty for the weight's own.
    """

    name: str
    precision: str

    def quantize_weight(self, layer: LayerState) -> torch.Tensor:
        """The weight that the present offsets and factors give."""
        ...

    def step(
        self, layer: LayerState, gradient: torch.Tensor, pace: torch.Tensor, better: torch.Tensor
    ) -> None:
        """Keep the present values where they are the best, then move them."""
        ...

    def quantize_input(self, x: torch.Tensor, divisor: torch.Tensor) -> torch.Tensor:
        """Round an activation on the fixed G of the calibration set."""
        ...

    def input_gradient(
        self, x: torch.Tensor, divisor: torch.Tensor, gradient: torch.Tensor
    ) -> torch.Tensor:
        """Gradient to an activation from the gradient to its quantized value."""
        ...

    def squared_error(self, made: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        """Mean squared error of a block's output; a float32 scalar with a graph."""
        ...


class Pace:
    """What all layers of a block share while it is tuned.

    Args:
        kernels: do the elementwise work.
        device: of the block.

    Attributes:
        quanta: int32 scalar, how far this iteration moves.
        better: bool scalar, whether the present values gave the least loss so far.
        anchor: makes outputs of tuned layers part of the graph where their input is not.
        recorder: records an iteration to replay it, where nothing in one waits; else None.
    """

    recorder: Recorder | None = None

    def __init__(self, kernels: Kernels, device: torch.device) -> None:
        self.kernels = kernels
        self.quanta = torch.zeros((), dtype=torch.int32, device=device)
        self.better = torch.zeros((), dtype=torch.bool, device=device)
        self.anchor = torch.zeros((), device=device, requires_grad=True)
        self._seen: tuple[torch.Tensor, int, torch.Tensor, torch.Tensor] | None = None
        self._later: list[Callable[[], None]] = []

    def quantized(self, x: torch.Tensor, divisor: torch.Tensor) -> torch.Tensor:
        """The quantized input; the one made last where input and divisor are the same objects."""
        made: torch.Tensor
        if self._seen is not None:
            last, version, last_divisor, made = self._seen
            if last is x and version == x._version and last_divisor is divisor:  # noqa: SLF001
                return made
        made = self.make_input(x, divisor)
        self._seen = (x, x._version, divisor, made)  # noqa: SLF001
        return made

    def make_input(self, x: torch.Tensor, divisor: torch.Tensor) -> torch.Tensor:
        """The quantized input, made anew."""
        made: torch.Tensor = _Input.apply(  # type: ignore[no-untyped-call]
            x, divisor, self.kernels
        )
        return made

    def product(self, x: torch.Tensor, layer: "TunedLinear") -> torch.Tensor:
        """X W' of a quantized input, in whose backward pass the layer steps."""
        made: torch.Tensor = _Product.apply(  # type: ignore[no-untyped-call]
            x, self.anchor, layer
        )
        return made

    def later(self, work: Callable[[], None]) -> None:
        """Put work of a backward pass off until `catch_up`."""
        self._later.append(work)

    def catch_up(self) -> None:
        """Do what was put off."""
        while self._later:
            self._later.pop(0)()

    def forget(self) -> None:
        """Let go of the last input."""
        self._seen = None


class TunedLinear(torch.nn.Module):
    """Stands in for a linear layer while its block is tuned.

    Args:
        state: weight, offsets and factors.
        bias: [out], or None.
        divisor: float32 scalar, G of the input; one object for layers that share their input.
        pace: of the block.

    Attributes:
        fixed: [out, in], a finished weight to compute with instead, without gradients.
        patient: whether its steps are put off until the pace catches up, where its input has a
            gradient: ranks sum that gradient meanwhile.
        product: gives X W' in place of torch, [..., in] and [out, in] to [..., out]. It must not
            hold the layer: a circle would keep a block's states alive.
    """

    def __init__(
        self, state: LayerState, bias: torch.Tensor | None, divisor: torch.Tensor, pace: Pace
    ) -> None:
        super().__init__()
        self.state = state
        self.bias = bias
        self.divisor = divisor
        self.pace = pace
        self.fixed: torch.Tensor | None = None
        self.patient = False
        self.product: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] | None = None

    @property
    def weight(self) -> torch.Tensor:
        """The weight as it was; blocks look at its dtype."""
        return self.state.weight

    def multiply(self, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """X W' and the bias."""
        if self.product is not None:
            return self.product(x, weight)
        return functional.linear(x, weight, self.bias)

    def take(self, step: Callable[[], None], *, early: bool) -> None:
        """Step now, or later if nobody waits for it: `early` says that somebody may."""
        if self.patient and not early:
            self.pace.later(step)
        else:
            step()

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Float [..., in] to float [..., out]; a compiled block calls it as it is."""
        quantized = self.pace.quantized(x, self.divisor).to(self.weight.dtype)
        if self.fixed is not None:
            return functional.linear(quantized, self.fixed, self.bias)
        return self.pace.product(quantized, self)


class _Input(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, divisor: torch.Tensor, kernels: Kernels) -> torch.Tensor:
        ctx.save_for_backward(x, divisor)
        ctx.kernels = kernels
        return kernels.quantize_input(x, divisor)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        x, divisor = ctx.saved_tensors
        made: torch.Tensor = ctx.kernels.input_gradient(x, divisor, gradient)
        return made, None, None


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, _anchor: torch.Tensor, layer: TunedLinear
    ) -> torch.Tensor:
        weight = layer.pace.kernels.quantize_weight(layer.state)
        ctx.save_for_backward(x, weight)
        ctx.layer = layer
        return layer.multiply(x, weight)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, None, None]:
        x, weight = ctx.saved_tensors
        layer: TunedLinear = ctx.layer
        rows = gradient.reshape(-1, len(weight)).to(weight.dtype)
        to_input = (rows @ weight).view_as(x) if ctx.needs_input_grad[0] else None

        def step() -> None:
            to_weight = rows.t() @ x.reshape(-1, weight.shape[1])
            layer.pace.kernels.step(layer.state, to_weight, layer.pace.quanta, layer.pace.better)

        layer.take(step, early=to_input is None)
        return to_input, None, None
