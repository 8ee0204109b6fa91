"""What tuning found of a layer, as small as it can be kept: 4-bit codes and drops of factors.

Codes and factors decide the packed weight. AutoRound's unwrapper wants offsets, and rounds again;
with q the value of a code and x = w / r + v as in `tasks.kernels.reference`,

    v = q - w / r

puts x on q but for float32's rounding, far from any tie, and every restart makes the same weight.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import torch

from tasks.core.schemes import GROUP
from tasks.kernels.nvfp4 import E2M1, SIGN, pack, unpack
from tasks.kernels.reference import Scales, group_scales, quantize_weight
from tasks.kernels.state import LayerState, Quanta, factors_of

_ROWS = 1 << 23
"""Weights of a slab of rows."""


class Found(NamedTuple):
    """The best values of a layer.

    Attributes:
        codes: uint8 [out, in / 2], two codes a byte.
        drops: int16 or int32 [groups], quanta by which each factor lies below 1.
    """

    codes: torch.Tensor
    drops: torch.Tensor


def read(state: LayerState) -> Found:
    """The codes and drops of a layer's best values; on the layer's device."""
    rows = max(1, _ROWS // state.weight.shape[1])
    factors = factors_of(state.best_drops, state.quanta).view(len(state.weight), -1)
    codes = []
    for start in range(0, len(state.weight), rows):
        part = slice(start, start + rows)
        rounded = quantize_weight(
            state.weight[part],
            state.best_offsets[part].float() * state.quanta.offset,
            factors[part].reshape(-1),
            state.divisor,
        )
        codes.append(pack(_codes(rounded.codes).view(-1, state.weight.shape[1])))
    return Found(torch.cat(codes), state.best_drops)


def _codes(values: torch.Tensor) -> torch.Tensor:
    """Values of E2M1 to codes 0-15, uint8."""
    table = torch.zeros(13, dtype=torch.uint8, device=values.device)
    for code, value in enumerate(E2M1):
        table[int(value * 2)] = code
    return table[(values.abs() * 2).int()] | (values < 0).to(torch.uint8) * SIGN


def parameters(found: Found, state: LayerState) -> dict[str, torch.Tensor]:
    """What AutoRound's unwrapper takes.

    Returns:
        `value`, float32 [groups, 16]; `min_scale` and `max_scale`, float32 [groups].
    """
    values, factors, scales = _decode(found, state)
    offsets = values - state.weight.view(-1, GROUP) * scales.inverse
    return {"value": offsets, "min_scale": torch.ones_like(factors), "max_scale": factors}


class Late(Mapping[str, dict[str, torch.Tensor]]):
    """Parameters of a block's layers, each made when it is asked for: all at once are a gigabyte.

    Args:
        found: by the layer's name.
        layers: AutoRound's, whose weights are still as they were when theirs is asked for.
        quanta: sizes of the steps.
        own: the rows of a layer, of a tensor [out, ...], that this process rounds.
    """

    def __init__(
        self,
        found: Mapping[str, Found],
        layers: Mapping[str, Any],
        quanta: Quanta,
        own: Callable[[torch.Tensor], torch.Tensor],
    ) -> None:
        self._found, self._layers, self._quanta, self._own = found, layers, quanta, own

    def __getitem__(self, name: str) -> dict[str, torch.Tensor]:
        """As of `parameters`, for the rows that are this process's own."""
        layer, whole = self._layers[name], self._found[name]
        drops = self._own(whole.drops.view(len(layer.weight), -1)).reshape(-1)
        state = LayerState(self._own(layer.weight), layer.weight_global_scale, self._quanta)
        return parameters(Found(self._own(whole.codes), drops), state)

    def __contains__(self, name: object) -> bool:
        """Whether there is such a layer; a mapping's own way makes its parameters to tell."""
        return name in self._found

    def __iter__(self) -> Iterator[str]:
        """Names of the layers."""
        return iter(self._found)

    def __len__(self) -> int:
        """How many layers."""
        return len(self._found)


def weight(found: Found, state: LayerState) -> torch.Tensor:
    """The quantized weight, [out, in], of the weight's dtype; as the kernels made it."""
    values, _, scales = _decode(found, state)
    return (values * scales.step).view_as(state.weight).to(state.weight.dtype)


def _decode(found: Found, state: LayerState) -> tuple[torch.Tensor, torch.Tensor, Scales]:
    """Values of the codes, float32 [groups, 16], factors, float32 [groups], and scales."""
    device = state.weight.device
    factors = factors_of(found.drops.to(device), state.quanta)
    scales = group_scales(state.peaks.view(-1, 1), factors.view(-1, 1), state.divisor)
    magnitudes = torch.tensor(E2M1, device=device)
    values = torch.cat((magnitudes, -magnitudes))[unpack(found.codes.to(device)).long()]
    return values.view(-1, GROUP), factors, scales
