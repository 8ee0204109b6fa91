"""Held-out rows never reach the calibration set."""

from pathlib import Path
from typing import Any

import pytest

from tasks.calibrate.provenance import refuse_overlap, row_digest
from tasks.core.errors import InputError

PASSAGE = "The mill stood by the river for three hundred years before the flood took it."
HELDOUT: list[dict[str, Any]] = [{"text": "A title"}, {"text": PASSAGE}]


@pytest.mark.parametrize(
    "row",
    [
        {"text": PASSAGE},
        {"text": PASSAGE.upper().replace(" ", "\n  ")},
        {"text": f"Before it. {PASSAGE} After it."},
        {"text": PASSAGE[20:70]},
        {"messages": [{"role": "user", "content": f"Continue: {PASSAGE}"}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": PASSAGE}]}]},
        {"text": "a  TITLE"},
    ],
    ids=["same", "normalized", "contains", "part", "chat", "parts", "short"],
)
def test_overlap_is_refused(row: dict[str, Any]) -> None:
    """A used row that is, holds or is part of a held-out row ends the stage, naming both."""
    with pytest.raises(InputError, match=r"row 7 of calibration\.source overlaps row [01] of"):
        refuse_overlap({("calibration.source", 7): row}, HELDOUT)


@pytest.mark.parametrize(
    "row", [{"text": "Here a title is only mentioned in passing."}, {"text": "The mill stood"}]
)
def test_small_likeness_is_no_overlap(row: dict[str, Any]) -> None:
    """A held-out title inside a text, or a few words of a passage, prove nothing."""
    refuse_overlap({("calibration.source", 7): row}, HELDOUT)


def test_the_digest_is_of_the_content(pictures: list[Path], tmp_path: Path) -> None:
    """An image counts by its bytes, not by where it lies; keys that shape nothing do not count."""
    row: dict[str, Any] = {"text": "What is it?", "image": pictures[0]}
    moved = tmp_path / "elsewhere.png"
    moved.write_bytes(pictures[0].read_bytes())
    assert row_digest(row) == row_digest(row | {"image": moved, "source": "somewhere"})
    assert row_digest(row) != row_digest(row | {"image": pictures[1]})
