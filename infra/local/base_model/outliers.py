"""Give a trained model the outlier channels of a large one, without changing what it computes.

Large language models have a few activation channels many times larger than the rest, and those
are what makes four-bit activations hard (Dettmers et al. 2022, arXiv:2208.07339; Xiao et al.
2023, arXiv:2211.10438, whose smoothing this runs backwards). A small model has none, so
quantizing it would prove little. Here a norm's weight is multiplied channel by channel and the
linear layers that read it are divided by the same: powers of two, which BF16 holds exactly.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

LARGE, COUNT = 3, 4  # 2^3 times larger, this many of the channels a linear layer reads
_SPREAD = (0,)  # exponents of the other channels


@dataclass(frozen=True)
class Pair:
    """Weights whose channels meet: what scales them, and what reads them.

    Attributes:
        maker: norm weight (channels,), made larger.
        readers: linear weights (outputs, channels), made smaller.
    """

    maker: torch.Tensor
    readers: Sequence[torch.Tensor]


def pairs(model: Any) -> Iterator[tuple[str, Pair]]:
    """Give every place of the decoder where channels can be rescaled exactly."""
    for layer in model.model.language_model.layers:
        attention, mlp = layer.self_attn, layer.mlp
        projections = [attention.q_proj, attention.k_proj, attention.v_proj]
        # A full-attention layer has no v_proj: its values are its keys.
        readers = [each.weight for each in projections if each is not None]
        yield "attention", Pair(layer.input_layernorm.weight, readers)
        gates = [mlp.gate_proj.weight, mlp.up_proj.weight]
        yield "mlp", Pair(layer.pre_feedforward_layernorm.weight, gates)


@torch.no_grad()
def introduce(model: Any, seed: int = 0) -> None:
    """Rescale ``model`` in place; the residual stream's large channels are the same in all layers.

    Raises:
        ValueError: a weight is not finite after rescaling.
    """
    for name, pair in pairs(model):
        channels = pair.readers[0].shape[1]
        scale = torch.exp2(_exponents(channels, f"{seed} {name}"))
        pair.maker.mul_(scale.to(pair.maker))
        for weight in pair.readers:
            weight.div_(scale.to(weight))
        if not all(weight.isfinite().all() for weight in [pair.maker, *pair.readers]):
            raise ValueError(f"rescaling {name} by up to 2^{LARGE} left BF16's range")


def _exponents(channels: int, seed: str) -> torch.Tensor:
    rng = random.Random(seed)  # noqa: S311 - a pattern, not a secret
    exponents = torch.tensor(rng.choices(_SPREAD, k=channels), dtype=torch.float32)
    exponents[rng.sample(range(channels), COUNT * channels // 256)] = LARGE
    return exponents


@torch.no_grad()
def kurtosis(model: Any, tokens: torch.Tensor) -> dict[str, float]:
    """Measure the inputs of the decoder's linear layers on ``tokens`` (rows, width) int64.

    Returns:
        By the layer's kind, the mean over layers of the activations' kurtosis (the fourth moment
        over the square of the second, 3 for a normal distribution).
    """
    found: dict[str, list[float]] = {"q_proj": [], "gate_proj": [], "down_proj": []}
    hooks = []
    for name, module in model.model.language_model.named_modules():
        if (kind := name.rpartition(".")[2]) in found:
            hooks.append(module.register_forward_pre_hook(_watch(found[kind])))
    model(input_ids=tokens)
    for hook in hooks:
        hook.remove()
    return {kind: sum(values) / len(values) for kind, values in found.items()}


def _watch(into: list[float]) -> Any:
    def note(_: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        values = inputs[0].double()
        centred = values - values.mean()
        into.append(float(centred.pow(4).mean() / centred.pow(2).mean() ** 2))

    return note
