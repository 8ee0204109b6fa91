"""One base, quantized by one tuner from one seed, and scored; what was made is kept."""

import json
import shutil
import statistics
import sys
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from flows.terminal import Printed
from tasks.core.digest import indented_json
from tasks.core.manifest import Frozen
from tasks.core.recipe import Recipe, load_recipe
from tasks.quantize.launch import build
from tests.bench import demo
from tests.bench.machine import machine
from tests.bench.scores import Scores, documents, load, put_in, score

TEXTS_ALONE = {"calibration.image_samples": 0}


class Made(Frozen):
    """What came of one tuner from one seed.

    Attributes:
        asked: what it was made of.
        seconds: of quantizing, the last attempt's.
        ratio: best over first loss of a block, mean over blocks.
        listed: the fields of its `Scores`, an entry a document.
    """

    asked: dict[str, Any]
    seconds: float
    ratio: float
    listed: tuple[tuple[float, ...], ...]

    @property
    def scores(self) -> Scores:
        """The scores as tensors."""
        return Scores(*(torch.tensor(each, dtype=torch.float64) for each in self.listed))


@dataclass(frozen=True)
class Trial:
    """What all tuners and seeds have in common.

    Attributes:
        folder: takes everything.
        base: folder of the base.
        changes: of the demo's recipe, by dotted key.
        count: held-out documents.
    """

    folder: Path
    base: Path
    changes: dict[str, Any]
    count: int

    def made(self, tuner: str, seed: int) -> Made:
        """What comes of a tuner from a seed, or came of it before.

        Raises:
            SystemExit: what lies in the folder was made of something else.
        """
        kept = self.folder / f"{tuner}{seed}.json"
        if kept.is_file():
            made = Made.model_validate_json(kept.read_bytes())
            if made.asked != self._asked:
                raise SystemExit(f"{kept} is of {made.asked}, not of {self._asked}")
            return made
        sys.stdout.write(f"{time.strftime('%H:%M:%S')} {tuner}, seed {seed}\n")
        sys.stdout.flush()
        made = self._make(self.folder / f"{tuner}{seed}", self.recipe(tuner, seed))
        kept.write_text(indented_json(made))
        return made

    def recipe(self, tuner: str, seed: int) -> Recipe:
        """The demo's recipe with the changes; without images where the base has none."""
        images = "image_token_id" in json.loads((self.base / "config.json").read_bytes())
        wanted = ({} if images else TEXTS_ALONE) | self.changes
        return load_recipe("demo", wanted | {"tuning.tuner": tuner, "tuning.seed": seed})

    def _make(self, out: Path, recipe: Recipe) -> Made:
        scratch = out.with_suffix(".scratch")
        scratch.mkdir(exist_ok=True)
        started = time.monotonic()
        blocks: Any = build(out, self.base, self._samples, recipe, scratch, Printed())["blocks"]
        seconds = round(time.monotonic() - started, 1)
        candidate = load(self.base)
        put_in(candidate, out)
        scores = score(candidate, self._original, self._texts)
        for folder in (out, scratch):
            shutil.rmtree(folder)
        return Made(
            asked=self._asked,
            seconds=seconds,
            ratio=statistics.mean(each.best / each.first for each in blocks),
            listed=tuple(tuple(each.tolist()) for each in scores),
        )

    @property
    def _asked(self) -> dict[str, Any]:
        return {
            "base": self.base.name,
            "changes": self.changes,
            "documents": self.count,
            "commit": machine()["commit"],
        }

    @cached_property
    def _samples(self) -> Path:
        return demo.samples(self.folder, self.base, self.recipe("fused", 1))

    @cached_property
    def _original(self) -> Any:
        return load(self.base)

    @cached_property
    def _texts(self) -> list[torch.Tensor]:
        return documents(self.base, demo.heldout()[: self.count])
