"""The small base model with random weights, and rows to calibrate on."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tasks.clients.hub import Hub
from tasks.clients.sources import resolve_source
from tasks.core.recipe import Recipe, load_recipe
from tasks.core.records import DownloadRecord, Estimate, Hardware, PlanRecord

TOPICS = "river stone lamp window garden letter winter copper market engine".split()  # noqa: SIM905


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a base with one decoder layer: calibration needs no more of it than its files."""
    from infra.local.base_model.build import build

    folder = tmp_path_factory.mktemp("base") / "model"
    build(folder, layers=1)
    return folder


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three pictures of different shapes."""
    folder = tmp_path_factory.mktemp("pictures")
    paths = []
    for number, size in enumerate([(160, 160), (96, 240), (300, 120)]):
        paths.append(folder / f"{number}.png")
        Image.new("RGB", size, (40 * number, 200, 90)).save(paths[-1])
    return paths


@pytest.fixture
def rows(pictures: list[Path]) -> dict[str, list[dict[str, Any]]]:
    """Rows of the three sources: plain texts, chats with and without tools, images, held-out."""
    texts = [{"text": _prose(number, 20 + 9 * number)} for number in range(12)]
    chats = [_chat(number) for number in range(12)]
    images = [
        {
            "messages": [
                {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Say."}]},
                {"role": "assistant", "content": f"Picture {number}."},
            ],
            "image": path,
        }
        for number, path in enumerate(pictures)
    ]
    return {
        "calibration.source": [*texts, *chats],
        "calibration.images": images,
        "validation.heldout": [{"text": f"held out {_prose(50 + n, 30)}"} for n in range(4)],
    }


@pytest.fixture
def recipe() -> Callable[..., Recipe]:
    """A small recipe; keyword arguments are values of `calibration`."""

    def make(**calibration: object) -> Recipe:
        small = {"nsamples": 6, "seqlen": 96, "image_samples": 2} | calibration
        changes: dict[str, Any] = {f"calibration.{key}": value for key, value in small.items()}
        return load_recipe("demo", changes | {"validation.tasks": []})

    return make


def _prose(seed: int, words: int) -> str:
    return " ".join(f"{TOPICS[(seed * 7 + n * n) % 10]} {seed * 31 + n}" for n in range(words))


def _chat(number: int) -> dict[str, Any]:
    tool = {
        "type": "function",
        "function": {"name": "lookup", "description": "Look.", "parameters": {"type": "object"}},
    }
    messages = [
        {"role": "user", "content": f"Tell {_prose(number + 20, 6)}"},
        {"role": "assistant", "content": _prose(number + 30, 8)},
    ]
    return {"messages": messages, "thinking": number % 2 == 0} | (
        {"tools": [tool]} if number % 3 == 0 else {}
    )


def read_json(path: Path) -> Any:
    return json.loads(path.read_text())


def local_recipe(rows: dict[str, list[dict[str, Any]]], folder: Path) -> Recipe:
    """A small recipe of text and chats whose sources are files below `folder`."""
    folder.mkdir()
    sources = {}
    for place in ("calibration.source", "validation.heldout"):
        path = folder / f"{place.rpartition('.')[2]}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows[place]))
        sources[place] = {"files": str(path)}
    small = {"nsamples": 3, "seqlen": 64, "image_samples": 0, "images": None}
    changes: dict[str, Any] = {f"calibration.{k}": v for k, v in small.items()} | {
        "validation.tasks": []
    }
    return load_recipe("demo", changes | sources)


def records(recipe: Recipe, base: Path, hub: Hub) -> tuple[PlanRecord, DownloadRecord]:
    """Records of the stages before, for a base that lies in a folder."""
    made = {"files": (), "inputs": {}, "seconds": 0.0}
    named = {
        "calibration.source": recipe.calibration.source,
        "validation.heldout": recipe.validation.heldout,
    }
    sizes = {name: 1 for name, field in Estimate.model_fields.items() if field.annotation is int}
    plan = PlanRecord(
        **made,
        stage="plan",
        folder="",
        base="roundhouse/tiny",
        commit="c" * 40,
        target="",
        architecture="",
        release_id="tiny-0",
        sources={place: resolve_source(each, hub).digest for place, each in named.items()},
        license="",
        hardware=Hardware(cpus=1, ram=1, disk_free=1),
        estimate=Estimate(**sizes, hours=1),
    )
    download = DownloadRecord(
        **made, stage="download", folder=str(base), base="roundhouse/tiny", commit="c" * 40
    )
    return plan, download
