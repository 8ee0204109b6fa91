"""The parts of the fused tuner, and what AutoRound makes of what it finds."""

import itertools
import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from auto_round.compressors.utils import IndexSampler
from auto_round.wrapper import WrapperLinear
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.kernels.eager import Eager
from tasks.kernels.linear import Pace
from tasks.kernels.nvfp4 import Packed, decode
from tasks.kernels.state import LayerState, Quanta
from tasks.quantize.fused import found, wrap
from tasks.quantize.fused.coverage import PLAIN, uncovered
from tasks.quantize.fused.problem import Problem
from tasks.quantize.fused.sampler import batches
from tasks.quantize.fused.store import Finished, Store, holds
from tasks.quantize.fused.tuner import Tuned, tune
from tests.kernels.layers import make
from tests.quantize.prepared import linear

QUANTA = Quanta.of(10, 0.1, 0.1)


class Block(torch.nn.Module):
    """Two linear layers, one after the other."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.up = linear(torch.randn(64, 32, generator=generator) * 0.2)
        self.down = linear(torch.randn(32, 64, generator=generator) * 0.2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Both layers and a ReLU between them."""
        made: torch.Tensor = self.down(torch.relu(self.up(x)))
        return made


class Runner:
    """AutoRound's block runner, as far as a problem needs it."""

    amp = False
    amp_dtype = torch.bfloat16
    batch_dim = 0

    def select_batch(
        self, inputs: dict[str, Any], others: dict[str, Any], _batch: torch.Tensor
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """There is nothing but the inputs."""
        return inputs, dict(others)

    def block_forward(
        self, block: Block, x: torch.Tensor, others: dict[str, Any], **_: Any
    ) -> torch.Tensor:
        """Call the block by its arguments' names."""
        made: torch.Tensor = block(x=x, **others)
        return made


def problem(block: Block, masks: list[torch.Tensor] | None = None) -> Problem:
    """Four samples of six tokens; the targets are the block's own outputs."""
    generator = torch.Generator().manual_seed(9)
    inputs = [torch.randn(1, 6, 32, generator=generator).clamp(-3, 3) for _ in range(4)]
    with torch.no_grad():
        targets = [block(each) for each in inputs]
    return Problem(block, Runner(), inputs, {}, targets, masks, torch.device("cpu"))


def run(block: Block, posed: Problem, iterations: int) -> tuple[Tuned, dict[str, LayerState], Pace]:
    layers = {"up": block.up, "down": block.down}
    states = wrap.states(layers, Quanta.of(iterations, 1 / iterations, 1 / iterations))
    pace = Pace(Eager(), torch.device("cpu"))
    with wrap.tuned(block, layers, states, pace) as stand_ins:
        tuned = tune(posed, stand_ins.values(), pace, batches(4, 2, "a seed"), iterations)
        for state in states.values():
            state.offsets, state.drops = state.best_offsets, state.best_drops
            state.scales = None
        with torch.no_grad():
            again = posed.loss(tuned.batch).reported
    assert float(again) == tuned.best
    return tuned, states, pace


@given(seed=st.integers(0, 2**32 - 1), samples=st.integers(1, 20), size=st.integers(1, 20))
def test_batches_are_those_of_autorounds_sampler(seed: int, samples: int, size: int) -> None:
    """From the same seed come the batches that AutoRound's sampler draws."""
    size = min(samples, size)
    random.seed(f"{seed}")
    theirs = IndexSampler(samples, size)
    ours = batches(samples, size, f"{seed}")
    for batch in itertools.islice(ours, 30):
        assert batch == theirs.next_batch()


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    rows=st.integers(1, 7),
    groups=st.integers(1, 5),
    dtype=st.sampled_from([torch.bfloat16, torch.float32]),
)
def test_autorounds_unwrapper_makes_the_weight_that_was_found(
    seed: int, rows: int, groups: int, dtype: torch.dtype
) -> None:
    """From codes and drops AutoRound makes exactly the weight and scales that tuning saw last."""
    case = make(seed, rows, groups, dtype, 8)
    layer = linear(case.weight)
    state = LayerState(layer.weight, layer.weight_global_scale, QUANTA)
    state.offsets = (case.offsets / QUANTA.offset).round().to(torch.int16)
    state.drops = ((1 - case.factors) / QUANTA.factor).round().to(torch.int16)
    state.best_offsets, state.best_drops = state.offsets, state.drops
    wanted = Eager().quantize_weight(state)
    kept = found.read(state)
    wrapper = WrapperLinear(layer, False, enable_round_tuning=False, enable_torch_compile=False)
    made = wrapper.unwrapper(found.parameters(kept, state)).orig_layer
    assert torch.equal(made.weight, wanted)
    if dtype == torch.bfloat16:
        scale = made.scale.view(rows, groups).to(torch.float8_e4m3fn)
        stored = decode(Packed(kept.codes, scale, layer.weight_global_scale.reshape(1)))
        torch.testing.assert_close(stored, wanted, rtol=2**-7, atol=0)


@pytest.mark.parametrize("iterations", [1, 2, 3, 40])
def test_the_best_values_give_the_best_loss(iterations: int) -> None:
    """What is kept of the layers gives the reported loss again, also when the last was best."""
    block = Block(1)
    tuned, _, pace = run(block, problem(block), iterations)
    assert tuned.best <= tuned.first
    assert tuned.iteration < iterations
    assert isinstance(block.up, torch.nn.Linear)
    assert pace.anchor.grad is None


def test_tuning_lowers_the_loss() -> None:
    """Forty steps take away a good part of the error of rounding to nearest."""
    block = Block(1)
    tuned, _, _ = run(block, problem(block), 40)
    assert tuned.best < 0.9 * tuned.first


def test_masked_tokens_do_not_count() -> None:
    """Targets of masked tokens may be anything; the loss is then told as AutoRound tells it."""
    block = Block(1)
    masks = [torch.tensor([[1, 1, 1, 1, 0, 0]]) for _ in range(4)]
    posed = problem(block, masks)
    before = posed.loss([0, 1]).objective.item()
    for target in posed._targets:
        target[:, 4:] += 1000
    block.up.weight.data += 0.01
    with torch.no_grad():
        after = posed.loss([0, 1])
    assert before == 0
    assert 0 < float(after.objective) < 1
    assert float(after.reported) == pytest.approx(float(after.objective) / 8)


def test_a_block_of_plain_nvfp4_layers_is_covered() -> None:
    """The fused tuner takes what it implements."""
    block = Block(1)
    config = SimpleNamespace(iters=2, **PLAIN)
    assert uncovered(config, block, {"up": block.up, "down": block.down}, []) == ""


@pytest.mark.parametrize(
    ("options", "attributes", "reason"),
    [
        ({"momentum": 0.9}, {}, "momentum"),
        ({"iters": 0}, {}, "nothing to tune"),
        ({}, {"bits": 8}, "scheme"),
        ({}, {"act_dynamic": False}, "scheme"),
        ({}, {"act_max": None}, "saw no sample"),
        ({}, {"_forward_hooks": {1: print}}, "hooks"),
        ({}, {"experts": torch.nn.Linear(1, 1)}, "experts"),
    ],
)
def test_what_is_not_covered_is_said(
    options: dict[str, Any], attributes: dict[str, Any], reason: str
) -> None:
    """Each thing that the fused tuner does not implement is named."""
    block = Block(1)
    for name, value in attributes.items():
        setattr(block.up, name, value)
    config = SimpleNamespace(**{"iters": 2, **PLAIN, **options})
    assert reason in uncovered(config, block, {"up": block.up, "down": block.down}, [])


def test_inputs_of_another_shape_are_not_covered() -> None:
    """Diffusion models' inputs come as dictionaries."""
    block = Block(1)
    config = SimpleNamespace(iters=2, **PLAIN)
    assert "dict" in uncovered(config, block, {"up": block.up}, {})


def test_a_store_gives_back_what_it_was_given(tmp_path: Path) -> None:
    """Codes, drops and losses return as they were, and prove themselves on their batch."""
    block = Block(1)
    posed = problem(block)
    tuned, states, pace = run(block, posed, 5)
    done = Finished(tuned, {name: found.read(state) for name, state in states.items()})
    shapes = {name: tuple(state.weight.shape) for name, state in states.items()}
    store = Store(tmp_path / "store", {"seed": 1})
    assert store.get("layers.0", shapes) is None
    store.put("layers.0", done)
    again = Store(tmp_path / "store", {"seed": 1}).get("layers.0", shapes)
    assert again is not None
    assert again.tuned == tuned
    assert all(map(torch.equal, again.layers["up"], done.layers["up"]))
    layers = {"up": block.up, "down": block.down}
    with wrap.tuned(block, layers, states, pace) as stand_ins:
        assert holds(again, posed, stand_ins)
        worse = done.layers["up"]._replace(codes=done.layers["up"].codes ^ 0x77)
        assert not holds(again._replace(layers={**done.layers, "up": worse}), posed, stand_ins)


def test_a_store_refuses_what_does_not_fit(tmp_path: Path) -> None:
    """Blocks of another question, of other layers or cut short are as good as not there."""
    kept = found.Found(torch.zeros(2, 8, dtype=torch.uint8), torch.zeros(2, dtype=torch.int16))
    done = Finished(Tuned(2.0, 1.0, 0, (1,)), {"up": kept})
    store = Store(tmp_path, {"seed": 1})
    store.put("block", done)
    assert store.get("block", {"up": (2, 16)}) is not None
    assert Store(tmp_path, {"seed": 2}).get("block", {"up": (2, 16)}) is None
    assert store.get("block", {"up": (4, 16)}) is None
    assert store.get("block", {"up": (2, 16), "down": (2, 16)}) is None
    path = tmp_path / "block.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    assert store.get("block", {"up": (2, 16)}) is None
