"""Makes candidates of the trained demo base: honest ones, and from those spoilt ones."""

import random
import shutil
from pathlib import Path

import torch
from transformers import AutoTokenizer

from infra.local.base_model.build import build_trained
from tasks.convert.convert import build as convert
from tasks.core.checkpoint import Checkpoint
from tasks.core.manifest import StageRecord
from tasks.core.progress import Silent
from tasks.core.schemes import E2M1_MAX, E4M3_MAX
from tasks.core.workspace import Workspace
from tasks.validate.packed import packed_modules
from tests.bench.machine import machine
from tests.bench.sabotage.engine import Engine
from tests.bench.sabotage.kinds import SABOTAGES, TUNED, change
from tests.bench.sabotage.texts import calibration
from tests.bench.sabotage.tuned import tuned
from tests.fake_release import RECIPE, make_output

CALIBRATION = 12


def rng(seed: int) -> random.Random:
    """What chooses rows, texts and layers of one seed."""
    return random.Random(seed)  # noqa: S311 - choices, not secrets


class Candidates:
    """The base, and candidates of it; tuned ones are kept in the folder, since they cost minutes.

    Args:
        folder: of the runs; all but the tuned candidates is made anew.

    Attributes:
        base: folder of the base.
        engine: the base in plain transformers.
        tokenizer: the base's.
    """

    def __init__(self, folder: Path) -> None:
        self._work = folder / "work"
        shutil.rmtree(self._work, ignore_errors=True)
        self._kept = Workspace(folder, "tuned")
        self._kept.root.mkdir(parents=True, exist_ok=True)
        self.base, self._rounded = self._work / "base", self._work / "rounded"
        build_trained(self.base)
        make_output(self.base, self._work / "output")
        convert(self._rounded, self.base, self._work / "output", RECIPE, Silent())
        self.engine = Engine(self.base)
        self.tokenizer = AutoTokenizer.from_pretrained(self.base)
        self._calibration = calibration(self.tokenizer)

    def make(self, kind: str, seed: int) -> Path:
        """A checkpoint of one kind; it stays until the next is made."""
        candidate = self._work / "candidate"
        shutil.rmtree(candidate, ignore_errors=True)
        if kind == TUNED:
            return self._tuned(seed)
        self._honest(candidate, seed)
        if kind in SABOTAGES:
            SABOTAGES[kind](candidate, rng(seed))
        return candidate

    def _honest(self, candidate: Path, seed: int) -> None:
        """Rounded to nearest, with scales of activations from rows of its own."""
        shutil.copytree(self._rounded, candidate)
        modules = packed_modules(Checkpoint(candidate).where)
        peaks = self.engine.peaks(modules, rng(seed).sample(self._calibration, CALIBRATION))
        divisors = {m: torch.tensor([E4M3_MAX * E2M1_MAX / peak]) for m, peak in peaks.items()}
        change(candidate, {f"{m}.input_global_scale": divisor for m, divisor in divisors.items()})

    def _tuned(self, seed: int) -> Path:
        def make(partial: Path) -> dict[str, object]:
            shutil.rmtree(partial)
            tuned(partial, self.base, seed)
            return {}

        inputs = {"commit": machine()["commit"]}
        return self._kept.run(f"seed-{seed}", StageRecord, inputs, make).path
