"""A block tuned as on a card: Triton's kernels, and iterations that are recorded and replayed."""

import pytest
import torch

from tasks.kernels.eager import Eager
from tasks.kernels.fused.replay import graph
from tasks.kernels.linear import Pace
from tasks.kernels.state import LayerState, Quanta
from tasks.quantize.fused import wrap
from tasks.quantize.fused.problem import Problem
from tasks.quantize.fused.sampler import batches
from tasks.quantize.fused.tuner import Tuned, tune
from tests.kernels.card import DEVICE, Fused, FusedPace
from tests.kernels.test_replay import Again
from tests.quantize.test_fused import Block, Runner

ITERATIONS = 12


def _run(pace: Pace) -> tuple[Tuned, dict[str, LayerState]]:
    """Tune the block of seed 1 on four samples of eight tokens."""
    block = Block(1).to(DEVICE)
    generator = torch.Generator().manual_seed(9)
    samples = [torch.randn(1, 8, 32, generator=generator).clamp(-3, 3) for _ in range(4)]
    inputs = [each.to(DEVICE) for each in samples]
    with torch.no_grad():
        targets = [block(each) for each in inputs]
    posed = Problem(block, Runner(), inputs, {}, targets, None, DEVICE)
    layers = {"up": block.up, "down": block.down}
    states = wrap.states(layers, Quanta.of(ITERATIONS, 1 / ITERATIONS, 1 / ITERATIONS))
    with wrap.tuned(block, layers, states, pace) as stand_ins:
        chosen = batches(4, 2, "a seed")
        return tune(posed, stand_ins.values(), pace, chosen, ITERATIONS), states


@pytest.mark.parametrize("precision", ["bf16", "fp8"])
def test_replayed_tuning_ends_where_plain_tuning_ends(precision: str) -> None:
    """Losses and the best offsets are those of the eager kernels, run iteration by iteration.

    With gradients in FP8 the best loss is about as low.
    """
    pace = FusedPace(Fused(precision), DEVICE)
    pace.recorder = graph if DEVICE.type == "cuda" else Again
    ours, states = _run(pace)
    theirs, plain = _run(Pace(Eager(), DEVICE))
    assert ours.first == pytest.approx(theirs.first, rel=1e-5)
    assert ours.best < 0.97 * ours.first
    if precision == "fp8":
        assert ours.best < 1.1 * theirs.best
        return
    assert ours.batch == theirs.batch
    assert ours.best == pytest.approx(theirs.best, rel=1e-3)
    for name, state in states.items():
        assert (state.best_offsets == plain[name].best_offsets).float().mean() > 0.98
