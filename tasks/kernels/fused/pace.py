"""Layers on a card: products of gradients in BF16 or in FP8.

    forward     y = X W'              in the weight's own dtype, always
    backward    dX = dY W'            bf16, or e4m3(dY) e4m3(W') with one scale each
                dW = dY^T X           bf16, or e4m3(dY)^T e4m3(X)

Of dW only signs are used, and of dX the next layers' signs follow. Scales of e4m3(W') and e4m3(X)
are fixed (`weights`, `inputs`), that of e4m3(dY) is its largest magnitude's (`casts`). With FP8 a
layer keeps the e4m3 copy of its input for the backward pass, half of what BF16 keeps.
"""

from typing import Any

import torch

from tasks.kernels.fused.casts import cast
from tasks.kernels.fused.kernels import Fused
from tasks.kernels.fused.replay import graph
from tasks.kernels.linear import Pace, TunedLinear


class FusedPace(Pace):
    """What all layers of a block share on a card.

    Args:
        kernels: do the elementwise work.
        device: of the block.
    """

    def __init__(self, kernels: Fused, device: torch.device) -> None:
        super().__init__(kernels, device)
        self.fused = kernels
        self.recorder = graph
        self.one = torch.ones((), device=device)
        self._turned: tuple[torch.Tensor, torch.Tensor] | None = None

    def make_input(self, x: torch.Tensor, divisor: torch.Tensor) -> torch.Tensor:
        """The quantized input; its e4m3 copy is kept for the products of the same input."""
        if self.fused.precision == "bf16":
            return super().make_input(x, divisor)
        made: torch.Tensor
        made, turned = _Input.apply(x, divisor, self.fused)  # type: ignore[no-untyped-call]
        self._turned = (made, turned) if turned is not None else None
        return made

    def product(self, x: torch.Tensor, layer: TunedLinear) -> torch.Tensor:
        """X W' of a quantized input, in whose backward pass the layer steps."""
        made = self.fused.made(layer.state)
        if self._turned is None or self._turned[0] is not x or made.turned is None:
            return super().product(x, layer)
        product: torch.Tensor = _Product.apply(  # type: ignore[no-untyped-call]
            x, self._turned[1], self.anchor, layer, self
        )
        return product

    def forget(self) -> None:
        """Let go of the last input."""
        super().forget()
        self._turned = None


class _Input(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, divisor: torch.Tensor, kernels: Fused
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        ctx.save_for_backward(x, divisor)
        ctx.set_materialize_grads(False)  # of `turned` it would be a tensor of zeros
        ctx.kernels = kernels
        made, turned = kernels.both_inputs(x, divisor, turn=True)
        if turned is not None:
            ctx.mark_non_differentiable(turned)
        return made, turned

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor, _: Any) -> tuple[torch.Tensor, None, None]:
        x, divisor = ctx.saved_tensors
        made: torch.Tensor = ctx.kernels.input_gradient(x, divisor, gradient)
        return made, None, None


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        turned: torch.Tensor,
        _anchor: torch.Tensor,
        layer: TunedLinear,
        pace: FusedPace,
    ) -> torch.Tensor:
        ctx.save_for_backward(turned)
        ctx.layer, ctx.pace, ctx.shape = layer, pace, x.shape
        return layer.multiply(x, pace.fused.made(layer.state).weight)

    @staticmethod
    def backward(
        ctx: Any, gradient: torch.Tensor
    ) -> tuple[torch.Tensor | None, None, None, None, None]:
        (turned,) = ctx.saved_tensors
        pace: FusedPace = ctx.pace
        state = ctx.layer.state
        made = pace.fused.made(state)
        rows = gradient.reshape(-1, gradient.shape[-1]).contiguous()
        eight = cast(rows, plain=ctx.needs_input_grad[0])
        to_input = None
        if eight.plain is not None and made.turned is not None:
            to_input = torch._scaled_mm(  # noqa: SLF001 - torch's only FP8 product
                eight.plain, made.turned.t(), eight.scale, made.scale, out_dtype=gradient.dtype
            ).view(ctx.shape)

        def step() -> None:
            to_weight = torch._scaled_mm(  # noqa: SLF001 - up to a factor that no sign sees
                eight.turned, turned.t(), pace.one, pace.one,
                out_dtype=gradient.dtype, use_fast_accum=gradient.is_cuda,
            )  # fmt: skip
            pace.fused.step(state, to_weight, pace.quanta, pace.better)

        ctx.layer.take(step, early=to_input is None)
        return to_input, None, None, None, None
