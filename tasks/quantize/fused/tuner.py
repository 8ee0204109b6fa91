"""Signed gradient descent on one block, its steps taken inside the backward pass."""

from collections.abc import Callable, Collection, Iterator
from typing import NamedTuple

import torch

from tasks.kernels.fused.feed import fed
from tasks.kernels.fused.replay import Replay
from tasks.kernels.linear import Pace, TunedLinear
from tasks.quantize.fused.problem import Loss, Picked, Problem

LOSS_SCALE = 1000.0
"""AutoRound's; it keeps gradients of small losses above zero in bfloat16."""


class Tuned(NamedTuple):
    """How tuning went.

    Attributes:
        first: loss of the first batch, before any step.
        best: the least loss.
        iteration: when it was seen.
        batch: on which samples.
    """

    first: float
    best: float
    iteration: int
    batch: tuple[int, ...]


def tune(
    problem: Problem,
    layers: Collection[TunedLinear],
    pace: Pace,
    batches: Iterator[list[int]],
    iterations: int,
    agree: Callable[[torch.Tensor], torch.Tensor] | None = None,
) -> Tuned:
    """Tune the layers of a block; each keeps the values that gave the least loss.

    A step moves by `iterations - i` quanta. The last batch is only looked at; where iterations are
    recorded the recording serves there too: what its step moves, nobody reads.

    Args:
        problem: of the block that holds the layers.
        layers: the tuned layers.
        pace: theirs.
        batches: samples of each iteration.
        iterations: how many; at least 1.
        agree: gives the loss that all ranks go by, whose own may differ in the last bits.
    """
    losses: list[torch.Tensor] = []
    taken: list[list[int]] = []
    device = pace.quanta.device
    best = torch.full((), torch.inf, device=device)

    def look(picked: Picked) -> Loss:
        loss = problem.loss_of(picked)
        if agree is not None:
            loss = loss._replace(reported=agree(loss.reported.clone()))
        torch.lt(loss.reported, best, out=pace.better)
        torch.minimum(best, loss.reported.nan_to_num(torch.inf), out=best)
        return loss

    def learn(picked: Picked) -> torch.Tensor:
        with torch.enable_grad():
            loss = look(picked)
            torch.autograd.backward(loss.objective * LOSS_SCALE)
        pace.forget()
        return loss.reported

    again = Replay(learn, pace.recorder) if pace.recorder else learn
    for i, (batch, picked) in enumerate(fed(batches, problem.pick, iterations, device)):
        taken.append(batch)
        pace.quanta.fill_(iterations - i)
        if i < iterations - 1 or pace.recorder:
            losses.append(again(picked))
            continue
        with torch.no_grad():
            losses.append(look(picked).reported)
        for layer in layers:
            layer.state.keep(pace.better)
        pace.forget()
    return _summary(torch.stack(losses).nan_to_num(torch.inf).tolist(), taken)


def _summary(losses: list[float], taken: list[list[int]]) -> Tuned:
    iteration = min(range(len(losses)), key=losses.__getitem__)
    return Tuned(losses[0], losses[iteration], iteration, tuple(taken[iteration]))
