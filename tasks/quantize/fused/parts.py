"""What takes the places of layers that ranks share out."""

from functools import partial
from typing import Any
from weakref import ref

import torch
from torch.nn import Module, functional

from tasks.kernels.linear import Pace, TunedLinear
from tasks.kernels.state import LayerState
from tasks.quantize.fused.ranks import Ranks
from tasks.quantize.fused.shard import OUT, Cut


class Entrance:
    """Where layers that share an input read it; the gradient to it is summed once for all.

    While it is on its way the layers take their steps, which they put off for that.

    Args:
        ranks: sum the gradient.
        pace: of the block.
    """

    def __init__(self, ranks: Ranks, pace: Pace) -> None:
        self._ranks = ranks
        self._pace = pace
        self._last: tuple[ref[torch.Tensor], int, ref[torch.Tensor]] | None = None

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """The input, for this rank's rows."""
        if self._last is not None:
            last, version, made = self._last
            entered = made()
            if last() is x and version == x._version and entered is not None:  # noqa: SLF001
                return entered
        fresh: torch.Tensor = _Enter.apply(  # type: ignore[no-untyped-call]
            x, self._ranks, self._pace
        )
        self._last = (ref(x), x._version, ref(fresh))  # noqa: SLF001
        return fresh


class Rows(Module):
    """A layer of which this rank makes some outputs.

    Args:
        layer: this rank's rows.
        entrance: one object for layers that share their input.
    """

    def __init__(self, layer: TunedLinear, entrance: Entrance) -> None:
        super().__init__()
        self.layer = layer
        self.entrance = entrance

    @property
    def weight(self) -> torch.Tensor:
        """This rank's rows of the weight as it was."""
        return self.layer.weight

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[..., in] to this rank's [..., out / ranks]."""
        made: torch.Tensor = self.layer(self.entrance(x))
        return made


class Columns(Module):
    """A layer of which this rank reads some inputs.

    The gradient to each rank's product is that to the sum. (To sum a part of the tokens while the
    next is multiplied gains nothing: the product holds every SM until it ends.)

    Args:
        layer: this rank's columns, without bias.
        bias: [out], or None.
        ranks: sum the products.
    """

    def __init__(self, layer: TunedLinear, bias: torch.Tensor | None, ranks: Ranks) -> None:
        super().__init__()
        self.layer = layer
        self.bias = bias
        layer.product = partial(_summed, ranks)

    @property
    def weight(self) -> torch.Tensor:
        """This rank's columns of the weight as it was."""
        return self.layer.weight

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """This rank's [..., in / ranks] to [..., out]."""
        made: torch.Tensor = self.layer(x)
        return made if self.bias is None else made + self.bias


def share(
    layer: Any,
    state: LayerState,
    divisor: torch.Tensor,
    pace: Pace,
    cut: Cut,
    entrance: Entrance,
) -> tuple[TunedLinear, Module]:
    """This rank's tuned layer, and what takes the place of the whole one.

    Args:
        layer: the whole one.
        state: of this rank's share.
        divisor: G of the input.
        pace: of the block.
        cut: how the layer is shared out.
        entrance: of the layers beside it.
    """
    if cut.dim == OUT:
        bias = None if layer.bias is None else cut.own(layer.bias)
        part = TunedLinear(state, bias, divisor, pace)
        part.patient = True
        return part, Rows(part, entrance)
    part = TunedLinear(state, None, divisor, pace)
    return part, Columns(part, layer.bias, cut.ranks)


class _Enter(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, ranks: Ranks, pace: Pace) -> torch.Tensor:
        ctx.ranks, ctx.pace = ranks, pace
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        # Made by the backward pass of what the entrance feeds, and read by nobody else.
        summed = gradient.contiguous()
        end = ctx.ranks.begin_sum(summed)
        ctx.pace.catch_up()
        end()
        return summed, None, None


def _summed(ranks: Ranks, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return ranks.sum(functional.linear(x, weight))
