"""AutoRound's wrappers turn what was found into weights, scales and activation layers.

They round once more, in AutoRound's own arithmetic; groups do not know of each other, so ranks
share out the rows of a weight, and hear each other's.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from auto_round.wrapper import WrapperLinear, unwrapper_block, wrapper_block

from tasks.kernels.state import Quanta
from tasks.quantize.fused import found
from tasks.quantize.fused.ranks import Ranks


@torch.no_grad()
def finish(
    block: torch.nn.Module,
    layers: Mapping[str, Any],
    made: Mapping[str, found.Found],
    quanta: Quanta,
    ranks: Ranks | None,
) -> None:
    """Leave a block as AutoRound's own tuning leaves it.

    Args:
        block: with its own layers.
        layers: those that were tuned, by name.
        made: what was found of each.
        quanta: sizes of the steps.
        ranks: share the work; None is this process alone.
    """
    wrapper_block(
        block,
        enable_minmax_tuning=False,
        enable_norm_bias_tuning=False,
        enable_torch_compile=False,
        device=next(block.parameters()).device,
        enable_round_tuning=False,
        wrapper_cls=partial(_Wrapper, ranks=ranks),
    )
    unwrapper_block(block, found.Late(made, layers, quanta, partial(_own, ranks)))


class _Wrapper(WrapperLinear):  # type: ignore[misc]
    """AutoRound's, given the values of this rank's rows alone.

    Args:
        layer: AutoRound's.
        ranks: share out its rows; None is this process alone.
        options: of AutoRound's wrapper.
    """

    def __init__(self, layer: Any, *, ranks: Ranks | None, **options: Any) -> None:
        super().__init__(layer, **options)
        rounding: Any = self.weight_quant_func
        self.weight_quant_func: Any = partial(_rounded, ranks, rounding)


def _own(ranks: Ranks | None, tensor: torch.Tensor) -> torch.Tensor:
    """The rows of a tensor [out, ...] that this rank rounds; all, where they do not divide."""
    if ranks is None or len(tensor) % ranks.size:
        return tensor
    return tensor.chunk(ranks.size)[ranks.rank]


def _rounded(
    ranks: Ranks | None, rounding: Any, weight: torch.Tensor, **options: Any
) -> tuple[torch.Tensor, torch.Tensor, None]:
    """Weight [out, in] of the weight's dtype, and scales [groups, 1], float32."""
    made, scale, _ = rounding(_own(ranks, weight), **options)
    if ranks is not None and len(made) < len(weight):
        made, scale = (torch.cat(ranks.gather(each)) for each in (made, scale))
    return made, scale, None
