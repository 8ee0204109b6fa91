"""Candidates of the demo's base as the demo tunes them, each from seeds of its own."""

import shutil
from pathlib import Path

from tasks.convert.convert import build as convert
from tasks.core.progress import Silent
from tasks.quantize.launch import build as quantize
from tests.bench import demo


def tuned(folder: Path, base: Path, seed: int) -> None:
    """Tune a candidate by the demo's recipe, in AutoRound's child process, and convert it.

    Args:
        folder: takes the checkpoint; must not exist.
        base: folder of the base.
        seed: of the calibration set's shuffle and of the tuner's sampler.
    """
    scratch = folder.with_name(f"{folder.name}.scratch")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    recipe = demo.recipe(tuning__seed=seed, calibration__seed=seed)
    samples = demo.samples(scratch / "calibration", base, recipe)
    (scratch / "worker").mkdir()
    quantize(scratch / "output", base, samples, recipe, scratch / "worker", Silent())
    convert(folder, base, scratch / "output", recipe, Silent())
    shutil.rmtree(scratch)
