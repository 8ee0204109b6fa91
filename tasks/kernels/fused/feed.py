"""Batches reach the card while it works on the batch before.

Each is put together on a stream of its own, where it waits for nothing that tunes; what lies on the
host goes through pinned memory. The host stays at most two batches ahead: it begins another when
the card has finished the last but one.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import torch
from torch.utils import _pytree as trees

AHEAD = 2
Tree = TypeVar("Tree")


def fed(
    batches: Iterator[list[int]],
    pick: Callable[[list[int]], Tree],
    count: int,
    device: torch.device,
) -> Iterator[tuple[list[int], Tree]]:
    """The first batches, with their tensors on the device.

    Args:
        batches: samples of each batch.
        pick: a tree of the tensors of a batch, on the host or on the device.
        count: how many batches.
        device: where they are wanted.
    """
    if device.type != "cuda":
        for _ in range(count):
            batch = next(batches)
            yield batch, pick(batch)
        return
    stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream())
    finished: deque[torch.cuda.Event] = deque(maxlen=AHEAD)
    batch = next(batches)
    sent = _sent(pick, batch, stream)
    for number in range(count):
        torch.cuda.current_stream().wait_stream(stream)
        _keep_for(torch.cuda.current_stream(), sent)
        yield batch, sent
        finished.append(torch.cuda.current_stream().record_event())
        if len(finished) == AHEAD:
            finished[0].synchronize()
        if number + 1 < count:
            batch = next(batches)
            sent = _sent(pick, batch, stream)


def stacked(samples: Sequence[torch.Tensor], dim: int, device: torch.device) -> torch.Tensor:
    """Samples joined along a dimension, on their way to the device."""
    if device.type != "cuda" or samples[0].is_cuda:
        return torch.cat(tuple(samples), dim=dim).to(device)
    shape = list(samples[0].shape)
    shape[dim] = sum(each.shape[dim] for each in samples)
    room = torch.empty(shape, dtype=samples[0].dtype, pin_memory=True)
    return torch.cat(tuple(samples), dim=dim, out=room).to(device, non_blocking=True)


def _sent(pick: Callable[[list[int]], Tree], batch: list[int], stream: torch.cuda.Stream) -> Tree:
    """A batch on its way."""

    def send(each: torch.Tensor) -> torch.Tensor:
        return each if each.is_cuda else each.pin_memory().to(stream.device, non_blocking=True)

    with torch.cuda.stream(stream):
        made: Tree = trees.tree_map_only(torch.Tensor, send, pick(batch))
    return made


def _keep_for(stream: torch.cuda.Stream, tree: object) -> None:
    """Let no tensor's memory be reused before a stream has done with it."""
    for each in trees.tree_leaves(tree):
        if isinstance(each, torch.Tensor):
            each.record_stream(stream)
