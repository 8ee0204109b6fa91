"""One block, from the store if it proves itself there, else tuned by all ranks and stored."""

from typing import Any, NamedTuple

import torch
from auto_round.logger import logger

from tasks.kernels.linear import Kernels
from tasks.kernels.select import pace_of, running
from tasks.kernels.state import Quanta
from tasks.quantize.fused import found, wrap
from tasks.quantize.fused.alone import keeping_nothing
from tasks.quantize.fused.problem import Problem
from tasks.quantize.fused.ranks import Ranks
from tasks.quantize.fused.sampler import batches
from tasks.quantize.fused.shard import Cut, cuts
from tasks.quantize.fused.store import Blocks, Finished, holds
from tasks.quantize.fused.tuner import tune


class Asked(NamedTuple):
    """How a block is tuned.

    Attributes:
        kernels: do the elementwise work.
        quanta: sizes of the steps.
        batch: samples of an iteration.
        seed: of the sampler.
        store: keeps finished blocks; None keeps none.
        ranks: tune together; None is this process alone.
    """

    kernels: Kernels
    quanta: Quanta
    batch: int
    seed: str
    store: Blocks | None
    ranks: Ranks | None


def settle(
    name: str, block: torch.nn.Module, layers: dict[str, Any], posed: Problem, asked: Asked
) -> Finished:
    """What tuning finds of a block.

    Args:
        name: of the block.
        block: with its own layers in place, as it is left.
        layers: those to tune, by name.
        posed: what tuning makes small.
        asked: how to tune.
    """
    with keeping_nothing(block):
        kept = _kept(name, block, layers, posed, asked)
        if kept is not None:
            logger.info(f"{name} is taken from an earlier run")
            return kept
        done = _tuned(block, layers, posed, asked)
    if asked.store and (asked.ranks is None or asked.ranks.rank == 0):
        asked.store.put(name, done)
    return done


def _kept(
    name: str, block: torch.nn.Module, layers: dict[str, Any], posed: Problem, asked: Asked
) -> Finished | None:
    """The finished block of an earlier run; rank 0 decides for all whether there is one."""
    shapes = {layer: tuple(each.weight.shape) for layer, each in layers.items()}
    kept = asked.store.get(name, shapes) if asked.store else None
    if not _agreed(asked.ranks, truth=kept is not None) or kept is None:
        return None
    pace = pace_of(asked.kernels, posed.device)
    states = wrap.states(layers, asked.quanta)
    with wrap.tuned(block, layers, states, pace) as stand_ins:
        proved = holds(kept, posed, stand_ins)
    return kept if _agreed(asked.ranks, truth=proved) else None


def _agreed(ranks: Ranks | None, *, truth: bool) -> bool:
    return truth if ranks is None else ranks.agree_on(truth=truth)


def _tuned(
    block: torch.nn.Module, layers: dict[str, Any], posed: Problem, asked: Asked
) -> Finished:
    shared = cuts(block, layers, asked.ranks) if asked.ranks else {}
    states = wrap.states(layers, asked.quanta, shared)
    pace = pace_of(asked.kernels, posed.device)
    with (
        wrap.tuned(block, layers, states, pace, shared) as stand_ins,
        running(block, pace),
    ):
        drawn = batches(len(posed), asked.batch, asked.seed)
        agree = asked.ranks.agree if asked.ranks else None
        tuned = tune(posed, stand_ins.values(), pace, drawn, asked.quanta.iterations, agree)
    shares = {name: (found.read(state), len(state.weight)) for name, state in states.items()}
    return Finished(tuned, {name: _whole(shared.get(name), *each) for name, each in shares.items()})


def _whole(cut: Cut | None, share: found.Found, rows: int) -> found.Found:
    return share if cut is None else cut.joined(share, rows)
