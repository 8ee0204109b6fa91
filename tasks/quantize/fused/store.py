"""What tuning found of finished blocks, one safetensors file a block; a restart takes it from here.

A file holds `<layer>.codes` and `<layer>.drops`, and in its metadata how tuning went and what it
was asked. Files appear whole: they are written beside their place and renamed.
"""

import json
import math
import os
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from tasks.kernels.linear import TunedLinear
from tasks.quantize.fused.found import Found, weight
from tasks.quantize.fused.problem import Problem
from tasks.quantize.fused.tuner import Tuned

TOLERANCE = 1e-3
"""Of a loss computed again, perhaps on another processor."""
CODES, DROPS, TUNED, ASKED = ".codes", ".drops", "tuned", "asked"


class Finished(NamedTuple):
    """A finished block.

    Attributes:
        tuned: how tuning went.
        layers: what was found of each layer, by name.
    """

    tuned: Tuned
    layers: dict[str, Found]


class Blocks(Protocol):
    """Finished blocks of one run, wherever they are kept; `Store` documents both."""

    def get(self, block: str, shapes: dict[str, tuple[int, ...]]) -> Finished | None:
        """A finished block, or None."""
        ...

    def put(self, block: str, finished: Finished) -> None:
        """Keep a finished block."""
        ...


class Store:
    """The finished blocks of one run, in a folder.

    Args:
        folder: holds the files; made if need be.
        asked: what was asked of tuning, JSON types; blocks of another question are not taken.
    """

    def __init__(self, folder: Path, asked: dict[str, Any]) -> None:
        self._folder = folder
        self._asked = json.dumps(asked, sort_keys=True)
        folder.mkdir(parents=True, exist_ok=True)

    def get(self, block: str, shapes: dict[str, tuple[int, ...]]) -> Finished | None:
        """A finished block, or None: not there, damaged, or of another question.

        Args:
            block: its name.
            shapes: shape of each layer's weight, by name.
        """
        try:
            with safe_open(self._path(block), "pt") as file:
                said = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError):
            return None
        if said.get(ASKED) != self._asked or _shapes(tensors) != shapes:
            return None
        first, best, iteration, batch = json.loads(said[TUNED])
        layers = {name: Found(tensors[name + CODES], tensors[name + DROPS]) for name in shapes}
        return Finished(Tuned(first, best, iteration, tuple(batch)), layers)

    def put(self, block: str, finished: Finished) -> None:
        """Keep a finished block."""
        tensors: dict[str, torch.Tensor] = {}
        for name, found in finished.layers.items():
            tensors |= {name + CODES: found.codes.cpu(), name + DROPS: found.drops.cpu()}
        path = self._path(block)
        fresh = path.with_suffix(".new")
        save_file(tensors, fresh, {TUNED: json.dumps(finished.tuned), ASKED: self._asked})
        with fresh.open("rb") as stream:
            os.fsync(stream.fileno())
        fresh.replace(path)

    def _path(self, block: str) -> Path:
        return self._folder / f"{block}.safetensors"


def _shapes(tensors: dict[str, torch.Tensor]) -> dict[str, tuple[int, ...]]:
    """Shapes of the weights whose codes are there."""
    return {
        name.removesuffix(CODES): (each.shape[0], each.shape[1] * 2)
        for name, each in tensors.items()
        if name.endswith(CODES) and name.removesuffix(CODES) + DROPS in tensors
    }


def holds(finished: Finished, problem: Problem, layers: dict[str, TunedLinear]) -> bool:
    """Whether a finished block gives its recorded loss again, on the batch that gave it."""
    for name, layer in layers.items():
        layer.fixed = weight(finished.layers[name], layer.state)
    with torch.no_grad():
        loss = float(problem.loss(finished.tuned.batch).reported)
    for layer in layers.values():
        layer.fixed = None
        layer.pace.forget()
    return math.isclose(loss, finished.tuned.best, rel_tol=TOLERANCE)
