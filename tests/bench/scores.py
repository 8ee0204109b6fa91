"""How far a quantized model is from its base, document by document."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import torch
import transformers
from safetensors import safe_open
from torch.nn import functional

from tasks.core.checkpoint import Checkpoint
from tasks.core.schemes import PACKED
from tasks.kernels.nvfp4 import Packed, decode
from tasks.kernels.select import select

RESAMPLES = 2000
TOKENS = 256
PARTS = ("weight_packed", "weight_scale", "weight_global_scale", "input_global_scale")


class Scores(NamedTuple):
    """Of one model; one entry a document, float64.

    Attributes:
        kl: sum over tokens of the divergence from the base, in nats.
        surprise: sum over tokens of the negative log probability, in nats.
        tokens: how many were scored.
    """

    kl: torch.Tensor
    surprise: torch.Tensor
    tokens: torch.Tensor


def documents(model: Path, texts: list[str]) -> list[torch.Tensor]:
    """Token ids [1, tokens] of each text, at most 256."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    return [tokenizer(text, return_tensors="pt").input_ids[:, :TOKENS] for text in texts]


def load(model: Path) -> Any:
    """The base in BF16."""
    architecture = json.loads((model / "config.json").read_bytes())["architectures"][0]
    kind = getattr(transformers, architecture)
    return kind.from_pretrained(model, dtype=torch.bfloat16).eval()


def put_in(model: Any, quantized: Path) -> None:
    """Give a model the weights of a quantized folder, and its activations' rounding."""
    kernels = select(torch.device("cpu"))
    checkpoint = Checkpoint(quantized)
    for name in checkpoint.tensors:
        if not name.endswith(f".{PACKED}"):
            continue
        module = name.removesuffix(f".{PACKED}")
        read = {part: _read(checkpoint, f"{module}.{part}") for part in PARTS}
        packed = Packed(
            read["weight_packed"], read["weight_scale"], read["weight_global_scale"].reshape(1)
        )
        layer = model.get_submodule(module)
        layer.weight.data = decode(packed)
        divisor = read["input_global_scale"].reshape(())
        layer.register_forward_pre_hook(
            lambda _, given, divisor=divisor: (kernels.quantize_input(given[0], divisor),)
        )


def _read(checkpoint: Checkpoint, name: str) -> torch.Tensor:
    with safe_open(checkpoint.stored(name)[0], "pt") as shard:
        made: torch.Tensor = shard.get_tensor(name)
    return made


@torch.no_grad()
def score(model: Any, base: Any, texts: list[torch.Tensor]) -> Scores:
    """Compare a model with its base on texts."""
    kl, surprise, tokens = [], [], []
    for ids in texts:
        ours = functional.log_softmax(model(input_ids=ids).logits[0, :-1].double(), -1)
        theirs = functional.log_softmax(base(input_ids=ids).logits[0, :-1].double(), -1)
        kl.append((theirs.exp() * (theirs - ours)).sum())
        surprise.append(-ours.gather(1, ids[0, 1:, None]).sum())
        tokens.append(float(len(ours)))
    return Scores(torch.stack(kl), torch.stack(surprise), torch.tensor(tokens).double())


def difference(ours: list[Scores], theirs: list[Scores], seed: int = 1) -> dict[str, Any]:
    """Our KL less theirs, and our perplexity over theirs, with 95% intervals.

    Args:
        ours: one entry a seed, over the same documents.
        theirs: alike.
        seed: of the bootstrap.
    """
    count = len(ours[0].tokens)
    draws = torch.randint(count, (RESAMPLES, count), generator=torch.Generator().manual_seed(seed))
    tokens = ours[0].tokens
    kl = torch.stack([a.kl - b.kl for a, b in zip(ours, theirs, strict=True)]).mean(0)
    nats = torch.stack([a.surprise - b.surprise for a, b in zip(ours, theirs, strict=True)]).mean(0)
    drawn = tokens[draws].sum(1)
    return {
        "kl": _with_interval(kl.sum() / tokens.sum(), kl[draws].sum(1) / drawn),
        "perplexity": _with_interval(
            (nats.sum() / tokens.sum()).exp(), (nats[draws].sum(1) / drawn).exp()
        ),
    }


def _with_interval(value: torch.Tensor, drawn: torch.Tensor) -> list[float]:
    bounds = drawn.quantile(torch.tensor([0.025, 0.975]).double())
    return [float(value), *bounds.tolist()]
