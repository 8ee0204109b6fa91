"""What cannot become a sample is refused by name."""

import json
from pathlib import Path
from typing import Any

import pytest

from tasks.calibrate.compose import has_image
from tasks.calibrate.images import with_image
from tasks.calibrate.job import Job
from tasks.calibrate.worker import work
from tasks.core.errors import InputError

Rows = dict[str, list[dict[str, Any]]]


@pytest.fixture
def job(base: Path, rows: Rows, tmp_path: Path) -> Job:
    for name in ("source", "images"):
        lines = [json.dumps(row, default=str) for row in rows[f"calibration.{name}"]]
        (tmp_path / name).write_text("\n".join(lines))
    return Job(
        model=base,
        rows=tmp_path / "source",
        images=tmp_path / "images",
        output=tmp_path,
        nsamples=4,
        image_samples=1,
        seqlen=96,
        seed=42,
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seqlen": 5000}, r"seqlen 5000 is longer than the base reads"),
        ({"seqlen": 16}, r"image of row \d of calibration\.images does not fit"),
        ({"image_samples": 4}, r"calibration\.images has too few rows"),
        (
            {"nsamples": 90},
            r"fills 23 of 90 samples\n  expected: 8640 tokens .*\n  found: 6\d\d\d tokens",
        ),
    ],
    ids=["longer than the model", "image cut", "too few images", "too few tokens"],
)
def test_impossible_sets_are_refused(job: Job, change: dict[str, int], said: str) -> None:
    """AutoRound would shorten, skip or go without; here the stage ends and says why."""
    with pytest.raises(InputError, match=said):
        work(job.model_copy(update=change))


def test_a_broken_picture_is_named(job: Job, pictures: list[Path], tmp_path: Path) -> None:
    """A file that is no picture is refused with its row."""
    broken = tmp_path / "broken.png"
    broken.write_bytes(pictures[0].read_bytes()[:40])
    (tmp_path / "images").write_text(json.dumps({"text": "What?", "image": str(broken)}))
    with pytest.raises(InputError, match=r"image of row 0 .* cannot be read"):
        work(job)


def test_images_are_spread_evenly(job: Job) -> None:
    """Whatever the shares, each run of samples has its part of the images."""
    wide = job.model_copy(update={"nsamples": 64, "image_samples": 16})
    flags = [has_image(number, wide) for number in range(64)]
    assert [sum(flags[start : start + 8]) for start in range(0, 64, 8)] == [2] * 8


def test_a_row_without_a_place_for_its_image_gets_one() -> None:
    """The image opens the user's first turn; a second place for it is refused."""
    system = {"role": "system", "content": "Be brief."}
    opened = with_image({"messages": [system, {"role": "user", "content": "Say."}]})
    assert opened[0] == system
    assert opened[1]["content"] == [{"type": "image"}, {"type": "text", "text": "Say."}]
    twice = {"role": "user", "content": [{"type": "image"}, {"type": "image"}]}
    with pytest.raises(InputError, match="several images"):
        with_image({"messages": [twice]})
