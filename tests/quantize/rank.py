"""One rank of several that tune a small Llama block: `python -m tests.quantize.rank …`.

Prints its losses, iteration by iteration, digests of what was found and of what AutoRound's
wrappers made of it, by all ranks and by one alone, and the bytes it summed.
"""

import argparse
import copy
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaDecoderLayer, LlamaRotaryEmbedding

from tasks.kernels.eager import Eager
from tasks.kernels.state import Quanta
from tasks.quantize.fused.finish import finish
from tasks.quantize.fused.found import Found
from tasks.quantize.fused.problem import Loss, Picked, Problem
from tasks.quantize.fused.ranks import Ranks
from tasks.quantize.fused.settle import Asked, settle
from tests.quantize.prepared import linear

HIDDEN, WIDTH, HEADS, TOKENS, SAMPLES, BATCH = 64, 128, 4, 12, 8, 4


def block(key_heads: int) -> LlamaDecoderLayer:
    """A decoder layer of Llama in float32, its layers as AutoRound prepares them."""
    torch.manual_seed(1)
    kind: Any = LlamaConfig
    config = kind(
        hidden_size=HIDDEN,
        intermediate_size=WIDTH,
        num_attention_heads=HEADS,
        num_key_value_heads=key_heads,
        attention_bias=True,
        attn_implementation="eager",
    )
    made = LlamaDecoderLayer(config, 0)
    made.rotary = LlamaRotaryEmbedding(config)
    for parent in (made.self_attn, made.mlp):
        for name, child in list(parent.named_children()):
            if isinstance(child, torch.nn.Linear):
                setattr(parent, name, linear(child.weight.detach(), child.bias))
    made.requires_grad_(requires_grad=False)
    return made


class Runner:
    """AutoRound's block runner, as far as a problem needs it."""

    amp = False
    amp_dtype = torch.bfloat16
    batch_dim = 0

    def select_batch(self, inputs: Any, others: Any, _batch: torch.Tensor) -> tuple[Any, Any]:
        """All samples share their positions."""
        return inputs, dict(others)

    def block_forward(self, block: Any, x: torch.Tensor, others: Any, **_: Any) -> Any:
        """Call the block by its arguments' names."""
        return block(hidden_states=x, **others)


class Recorded(Problem):
    """Keeps the loss of each iteration."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.losses: list[float] = []

    def loss_of(self, picked: Picked) -> Loss:
        """As a problem's, recorded."""
        made = super().loss_of(picked)
        self.losses.append(float(made.reported))
        return made


def posed(made: Any) -> Recorded:
    """Random inputs, and the block's own outputs as targets."""
    generator = torch.Generator().manual_seed(9)
    inputs = [torch.randn(1, TOKENS, HIDDEN, generator=generator) for _ in range(SAMPLES)]
    others = {"position_embeddings": made.rotary(inputs[0], torch.arange(TOKENS)[None])}
    with torch.no_grad():
        targets = [made(each, **others) for each in inputs]
    return Recorded(made, Runner(), inputs, others, targets, None, torch.device("cpu"))


def _rounded(made: Any, found: dict[str, Found], quanta: Quanta, ranks: Ranks | None) -> str:
    """Digest of the weights and scales of a copy that AutoRound's wrappers have finished."""
    copied = copy.deepcopy(made)
    layers: dict[str, Any] = {
        n: m for n, m in copied.named_modules() if isinstance(m, torch.nn.Linear)
    }
    finish(copied, layers, found, quanta, ranks)
    digest = hashlib.sha256()
    for layer in layers.values():
        digest.update(layer.weight.detach().numpy().tobytes() + layer.scale.numpy().tobytes())
    return digest.hexdigest()


def main() -> None:
    """Tune, and say how it went."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("meeting", type=Path)
    parser.add_argument("rank", type=int)
    parser.add_argument("size", type=int)
    parser.add_argument("--key-heads", type=int, default=HEADS)
    parser.add_argument("--iterations", type=int, default=12)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    made = block(chosen.key_heads)
    problem = posed(made)
    ranks = None
    if chosen.size > 1:
        ranks = Ranks(chosen.meeting, chosen.rank, chosen.size, torch.device("cpu"))
    layers = {n: m for n, m in made.named_modules() if isinstance(m, torch.nn.Linear)}
    quanta = Quanta.of(chosen.iterations, 1 / chosen.iterations, 1 / chosen.iterations)
    done = settle("block", made, layers, problem, Asked(Eager(), quanta, BATCH, "s", None, ranks))
    found = hashlib.sha256()
    for layer in done.layers.values():
        found.update(layer.codes.numpy().tobytes() + layer.drops.numpy().tobytes())
    summed = {"summed": ranks.summed, "agreed": ranks.agreed} if ranks else {}
    result = {"losses": problem.losses, "best": done.tuned.best, "found": found.hexdigest()}
    result["rounded"] = _rounded(made, done.layers, quanta, ranks)
    result["rounded alone"] = _rounded(made, done.layers, quanta, None)
    sys.stdout.write(json.dumps(result | summed) + "\n")


if __name__ == "__main__":
    main()
