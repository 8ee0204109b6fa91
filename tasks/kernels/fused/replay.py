"""A function of tensors, recorded once as a CUDA graph and replayed.

Replaying costs one launch in place of some hundreds. A graph is bound to the tensors it was
recorded with: what a call is given is copied into those, and only its shapes, dtypes and plain
values must stay. The first calls run as they are, which compiles, loads and warms everything that
must not happen while recording; recording itself runs nothing on the card.
"""

import logging
from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch.utils import _pytree as trees

WARM_UPS = 2
"""Calls before recording: the first compiles, the second finds its memory."""


_log = logging.getLogger(__name__)


class Recording(Protocol):
    """Something recorded."""

    def replay(self) -> None:
        """Do again what was recorded."""
        ...


Recorder = Callable[[Callable[[], None]], Recording]


class Replay:
    """Calls a function, or replays it.

    Args:
        function: from a tree of tensors to one tensor; waits for nothing, and leaves nothing behind
            but what it writes into tensors that outlive the calls.
        record: records a call.
    """

    def __init__(self, function: Callable[[Any], torch.Tensor], record: Recorder) -> None:
        self._function = function
        self._record = record
        self._calls = 0
        self._said = False
        self._recording: Recording | None = None
        self._given: list[Any] = []
        self._form: Any = None
        self._made: torch.Tensor | None = None

    def __call__(self, given: Any) -> torch.Tensor:
        """What the function gives; a tensor of the caller's own."""
        self._calls += 1
        leaves, form = trees.tree_flatten(given)
        if self._calls <= WARM_UPS:
            return self._function(given)
        if self._recording is None:
            self._start(leaves, form)
        if form != self._form or not all(map(_alike, leaves, self._given)):
            self._say_once()
            return self._function(given)
        for held, new in zip(self._given, leaves, strict=True):
            if isinstance(held, torch.Tensor):
                held.copy_(new, non_blocking=True)
        assert self._recording is not None  # noqa: S101 - for the type checker
        self._recording.replay()
        assert self._made is not None  # noqa: S101 - for the type checker
        return self._made.clone()

    def _say_once(self) -> None:
        if not self._said:
            _log.warning("an iteration is not replayed: what it is given has another form")
        self._said = True

    def _start(self, leaves: list[Any], form: Any) -> None:
        self._form = form
        self._given = [
            each.detach().clone() if isinstance(each, torch.Tensor) else each for each in leaves
        ]
        still = trees.tree_unflatten(self._given, form)

        def call() -> None:
            self._made = self._function(still)

        self._recording = self._record(call)


def _alike(new: Any, held: Any) -> bool:
    """Whether a recording made with one leaf serves the other."""
    if isinstance(held, torch.Tensor):
        return isinstance(new, torch.Tensor) and new.shape == held.shape and new.dtype == held.dtype
    if isinstance(held, bool | int | float | str | None):
        return type(new) is type(held) and bool(new == held)
    return new is held


def graph(call: Callable[[], None]) -> Recording:
    """Record a call as a CUDA graph."""
    made = torch.cuda.CUDAGraph()
    torch.cuda.empty_cache()  # a graph's memory is its own: what the warm-ups left is given back
    with torch.cuda.graph(made):
        call()
    return made
