"""Tuned layers take the places of a block's layers while it is tuned."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from auto_round.utils import set_module

from tasks.kernels.linear import Pace, TunedLinear
from tasks.kernels.state import LayerState, Quanta, input_divisor
from tasks.quantize.fused.parts import Entrance, share
from tasks.quantize.fused.shard import Cut

NONE: Mapping[str, Cut] = {}


def states(
    layers: dict[str, Any], quanta: Quanta, cuts: Mapping[str, Cut] = NONE
) -> dict[str, LayerState]:
    """The state of each layer or of this rank's share of it; AutoRound has set its global scale."""
    return {name: state(layer, quanta, cuts.get(name)) for name, layer in layers.items()}


def state(layer: Any, quanta: Quanta, cut: Cut | None = None) -> LayerState:
    """The state of a layer, on the layer's device, or of this rank's share of it."""
    weight = layer.weight if cut is None else cut.own(layer.weight)
    return LayerState(weight, layer.weight_global_scale, quanta)


@contextmanager
def tuned(
    block: torch.nn.Module,
    layers: dict[str, Any],
    held: dict[str, LayerState],
    pace: Pace,
    cuts: Mapping[str, Cut] = NONE,
) -> Iterator[dict[str, TunedLinear]]:
    """Put a tuned layer in the place of each layer, and the layers back at the end.

    Args:
        block: holds the layers.
        layers: by name.
        held: their states.
        pace: of the block.
        cuts: of the layers that ranks share out.

    Yields:
        The tuned layers by name.
    """
    divisors: dict[float, torch.Tensor] = {}
    entrances: dict[str, Entrance] = {}
    stand_ins: dict[str, TunedLinear] = {}
    try:
        for name, layer in layers.items():
            divisor = input_divisor(layer.act_max.to(layer.weight.device))
            shared = divisors.setdefault(float(divisor), divisor)
            placed: torch.nn.Module
            cut = cuts.get(name)
            if cut is None:
                placed = stand_in = TunedLinear(held[name], layer.bias, shared, pace)
            else:
                entrance = entrances.setdefault(name.rpartition(".")[0], Entrance(cut.ranks, pace))
                stand_in, placed = share(layer, held[name], shared, pace, cut, entrance)
            stand_ins[name] = stand_in
            set_module(block, name, placed)
        yield stand_ins
    finally:
        for name, layer in layers.items():
            set_module(block, name, layer)
