"""Mean squared error of a block's output, and its gradient, without float32 copies of either.

    forward     read y and t; per program the sum of (y - t)^2 in float32, then their sum over n
    backward    read y, t and h; write 2 h (y - t) / n

The sums are taken in a fixed order, so a run gives its losses again.
"""

from typing import Any

import torch
import triton
import triton.language as tl

from tasks.kernels.fused.rounding import narrow, plus

CHUNK, WARPS = 4096, 8


@triton.jit
def _squares(made_at, wanted_at, sums_at, count, CHUNK: tl.constexpr):
    at = tl.program_id(0).to(tl.int64) * CHUNK + tl.arange(0, CHUNK)
    made = tl.load(made_at + at, mask=at < count, other=0.0).to(tl.float32)
    wanted = tl.load(wanted_at + at, mask=at < count, other=0.0).to(tl.float32)
    error = made - wanted
    tl.store(sums_at + tl.program_id(0), tl.reduce(error * error, 0, plus))


@triton.jit
def _slope(made_at, wanted_at, factor_at, gradient_at, count, CHUNK: tl.constexpr):
    at = tl.program_id(0).to(tl.int64) * CHUNK + tl.arange(0, CHUNK)
    made = tl.load(made_at + at, mask=at < count, other=0.0).to(tl.float32)
    wanted = tl.load(wanted_at + at, mask=at < count, other=0.0).to(tl.float32)
    slope = (made - wanted) * tl.load(factor_at)
    tl.store(gradient_at + at, narrow(slope, gradient_at.dtype.element_ty), mask=at < count)


class SquaredError(torch.autograd.Function):
    """Float32 scalar from two tensors of one shape, contiguous; a gradient to the first alone."""

    @staticmethod
    def forward(ctx: Any, made: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        """Sum the squares."""
        ctx.save_for_backward(made, wanted)
        programs = triton.cdiv(made.numel(), CHUNK)
        sums = torch.empty(programs, dtype=torch.float32, device=made.device)
        _squares[(programs,)](made, wanted, sums, made.numel(), CHUNK=CHUNK, num_warps=WARPS)
        return sums.sum() / made.numel()

    @staticmethod
    def backward(ctx: Any, given: torch.Tensor) -> tuple[torch.Tensor, None]:
        """The gradient, of the first tensor's dtype."""
        made, wanted = ctx.saved_tensors
        gradient = torch.empty_like(made)
        factor = given.float() * (2.0 / made.numel())
        _slope[(triton.cdiv(made.numel(), CHUNK),)](
            made, wanted, factor, gradient, made.numel(), CHUNK=CHUNK, num_warps=WARPS
        )
        return gradient, None


def squared_error(made: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Mean squared error, a float32 scalar.

    Args:
        made: [batch, tokens, width], floating; has the gradient.
        wanted: of its shape.
    """
    error: torch.Tensor = SquaredError.apply(made.contiguous(), wanted.contiguous())
    return error
