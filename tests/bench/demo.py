"""The demo's base, recipe and calibration set, as the demo has them but without its stack."""

import json
from pathlib import Path
from typing import Any

from infra.local.base_model.build import build, build_trained
from infra.local.base_model.layout import ASSETS, WEIGHTS
from tasks.calibrate.job import SAMPLES, Row
from tasks.calibrate.samples import IMAGES, SOURCE
from tasks.calibrate.samples import build as calibrate
from tasks.core.progress import Silent
from tasks.core.recipe import Recipe, load_recipe


def base(folder: Path) -> Path:
    """The demo's base; with random weights where the trained ones are not checked out."""
    build_trained(folder) if any(WEIGHTS.glob("*.safetensors")) else build(folder)
    return folder


def recipe(**values: Any) -> Recipe:
    """The demo's recipe; keyword arguments are values by dotted key, `__` for a dot."""
    return load_recipe("demo", {name.replace("__", "."): value for name, value in values.items()})


def heldout() -> list[str]:
    """The held-out texts."""
    return [str(row["text"]) for row in _rows("heldout.jsonl")]


def samples(folder: Path, model: Path, chosen: Recipe) -> Path:
    """A calibration set of the demo's data.

    Args:
        folder: takes the set, and a folder of the calibrate stage's scratch files.
        model: folder of the base.
        chosen: how many samples, and of how many tokens.
    """
    scratch = folder / "scratch"
    scratch.mkdir(parents=True, exist_ok=True)
    calibrate(folder / "set", model, sources, chosen, scratch, Silent())
    return folder / "set" / SAMPLES


def sources() -> dict[str, list[Row]]:
    """Rows of each source that the recipe names, by its place there."""
    judging = recipe().validation.sources
    return {
        SOURCE: _rows("calibration.jsonl"),
        IMAGES: _pictured("calibration_images.jsonl", "images"),
        **{
            place: [
                row
                for path in sorted(ASSETS.glob(source.files))
                for row in _pictured(path.name, "images_heldout")
            ]
            for place, source in judging.items()
        },
    }


def _pictured(name: str, folder: str) -> list[Row]:
    """Rows with the path of their picture, as rows that are loaded from the Hub have it."""
    rows = _rows(name)
    for row in rows:
        for picture in row.pop("images", ()):
            row["image"] = str(ASSETS / folder / picture)
    return rows


def _rows(name: str) -> list[Row]:
    return [json.loads(line) for line in (ASSETS / name).read_text().splitlines()]
