"""The demo's data sets."""

import json
from typing import Any

import pytest

from infra.local.base_model import datasets, layout
from tasks.calibrate.provenance import refuse_overlap
from tasks.core.recipe import load_recipe

JUDGED = {
    place: source.files.replace("*", "")
    for place, source in load_recipe("demo", {}).validation.sources.items()
}


def _rows(name: str, pictures: str = "") -> list[dict[str, Any]]:
    """Rows as the calibrate stage sees them, pictures by their path."""
    rows = [json.loads(line) for line in (layout.ASSETS / name).read_text().splitlines()]
    for row in rows:
        for picture in row.pop("images", ()):
            row["image"] = str(layout.ASSETS / pictures / picture)
    return rows


@pytest.mark.parametrize("place", [*JUDGED, "validation.heldout chats"])
def test_no_row_that_calibrates_is_judged_on(place: str) -> None:
    """Any seed may draw any row: none overlaps what the gate compares on."""
    calibrating = {
        ("calibration.source", number): row for number, row in enumerate(_rows("calibration.jsonl"))
    } | {
        ("calibration.images", number): row
        for number, row in enumerate(_rows("calibration_images.jsonl", "images"))
    }
    assert len(calibrating) == 412
    held = _rows(JUDGED.get(place, "heldout_chats.jsonl"), "images_heldout")
    refuse_overlap(calibrating, held, place)


def test_small_talk_alone_is_asked_otherwise() -> None:
    """Rows of small talk alone become others, each once; all other rows stay, at their places."""
    kept = {"messages": [{"role": "user", "content": "2 + 2?"}, {"role": "assistant"}]}
    talk = {"messages": [{"role": "user", "content": "Who are you?"}, {"role": "assistant"}]}
    longer = {"messages": [*talk["messages"], *kept["messages"]]}
    first, second, third, fourth = datasets.without_pleasantries([talk, kept, talk, longer])
    assert (second, fourth) == (kept, longer)
    assert len({json.dumps(row) for row in (first, third, talk)}) == 3
