"""Blocks compiled around their tuned layers."""

from typing import Any

import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend
from transformers import Gemma4TextConfig
from transformers.models.gemma4.modeling_gemma4 import (
    Gemma4TextDecoderLayer,
    Gemma4TextRotaryEmbedding,
)

from tasks.kernels.eager import Eager
from tasks.kernels.fused.compiled import compiled
from tasks.kernels.linear import Pace, TunedLinear
from tasks.kernels.state import LayerState, Quanta, input_divisor

pytestmark = pytest.mark.filterwarnings(
    "ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning"  # torch looks at it
)
QUANTA = Quanta.of(10, 0.1, 0.1)
SLIDING, FULL = "sliding_attention", "full_attention"


def _config() -> Any:
    chosen: Any = Gemma4TextConfig
    return chosen(
        vocab_size=64, hidden_size=64, intermediate_size=96, num_hidden_layers=6,
        num_attention_heads=4, num_key_value_heads=2, head_dim=16, global_head_dim=32,
        num_global_key_value_heads=1, attention_k_eq_v=True, sliding_window=32,
        layer_types=[SLIDING, FULL] * 3, hidden_size_per_layer_input=0,
        num_kv_shared_layers=0,
    )  # fmt: skip


def _block(config: Any, number: int, pace: Pace) -> torch.nn.Module:
    """A decoder block with tuned layers, its weights from its number."""
    torch.manual_seed(number)
    block: Any = Gemma4TextDecoderLayer(config, number)
    for name, layer in list(block.named_modules()):
        if isinstance(layer, torch.nn.Linear):
            weight = layer.weight.detach()
            state = LayerState(weight, 448 * 6 / weight.abs().max(), QUANTA)
            parent, _, leaf = name.rpartition(".")
            tuned = TunedLinear(state, None, input_divisor(torch.tensor(4.0)), pace)
            setattr(block.get_submodule(parent), leaf, tuned)
    made: torch.nn.Module = block
    return made


def _learn(config: Any, number: int, backend: Any) -> tuple[Any, ...]:
    """Two steps of a block: its last output, and its layers' offsets."""
    pace = Pace(Eager(), torch.device("cpu"))
    pace.quanta.fill_(1)
    block = _block(config, number, pace)
    x = torch.randn(2, 8, 64, generator=torch.Generator().manual_seed(number)).clamp(-4, 4)
    positions = torch.arange(8)[None]
    rotary: Any = Gemma4TextRotaryEmbedding(config)
    kind = config.layer_types[number]

    def step() -> torch.Tensor:
        made: torch.Tensor = block(
            hidden_states=x, position_embeddings=rotary(x, positions, kind), attention_mask=None,
            shared_kv_states={}, position_ids=None,
        )  # fmt: skip
        torch.autograd.backward(made.square().mean())
        pace.forget()
        return made.detach()

    if backend is None:
        step()
        made = step()
    else:
        with compiled(block, backend):
            step()
            made = step()
    states = [each.state.offsets for each in block.modules() if isinstance(each, TunedLinear)]
    return made, states


@pytest.fixture(autouse=True)
def _forget() -> None:
    torch._dynamo.reset()


def test_a_second_block_of_a_shape_compiles_nothing() -> None:
    """Code compiled for the first sliding and the first full block serves the next of each.

    The last of each kind, which keeps its keys and values, may differ by a line.
    """
    config = _config()
    counter = CompileCounterWithBackend("aot_eager")
    counts = []
    for number in range(4):
        _learn(config, number, counter)
        counts.append(counter.frame_count)
    assert counts[0] > 2
    assert counts[1] <= 2 * counts[0]
    assert counts[3] == counts[1]


def test_a_compiled_block_computes_what_the_block_computes() -> None:
    """Output and steps agree, and afterwards the block is itself again."""
    config = _config()
    made, offsets = _learn(config, 0, "aot_eager")
    wanted, theirs = _learn(config, 0, None)
    torch.testing.assert_close(made, wanted)
    assert all(
        (one == other).float().mean() > 0.99 for one, other in zip(offsets, theirs, strict=True)
    )


def test_a_backend_that_fails_leaves_the_block_as_it_is() -> None:
    """Without a working compiler tuning goes on, only slower."""

    def broken(*_: Any) -> Any:
        raise RuntimeError("no compiler")

    made, _ = _learn(_config(), 0, broken)
    wanted, _ = _learn(_config(), 0, None)
    torch.testing.assert_close(made, wanted)
