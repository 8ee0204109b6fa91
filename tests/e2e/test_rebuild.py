"""A release made again from its provenance alone, in an empty folder: the same bytes."""

import json
from pathlib import Path
from typing import Any

import pytest

from tasks.core.digest import sha256_file
from tasks.core.published import is_document, is_git_own
from tests.e2e.house import BASE, House

pytestmark = [pytest.mark.e2e, pytest.mark.heavy]
TARGET = "roundhouse/gemma-4-tiny-it-rebuilt"


@pytest.fixture(scope="module")
def released(house: House) -> dict[str, Any]:
    """A release by the recipe `light`: its outcome."""
    written = house.home / "rebuilt.json"
    options = ("--to", TARGET, "--recipe", "light", "--write", str(written))
    finished = house.roundhouse("release", BASE, *options)
    assert finished.status == 0, finished.out + finished.err
    outcome: dict[str, Any] = json.loads(written.read_text())
    return outcome


def test_a_rebuild_from_the_provenance_has_the_same_bytes(
    house: House, released: dict[str, Any], tmp_path: Path
) -> None:
    """From the Hub's tag into an empty folder: every file of the model is equal, byte for byte."""
    address = f"hub:{TARGET}@{released['release_id']}"
    into = tmp_path / "into"
    said = house.roundhouse("rebuild", address, "--into", str(into), "--json")
    assert said.status == 0, said.out + said.err
    told = json.loads(said.out)
    assert (told["same"], told["doubts"]) == (True, [])
    assert Path(told["checkpoint"]).is_relative_to(into)
    paths = {file["path"] for file in told["files"]}
    published = {
        path.relative_to(released["checkpoint_dir"]).as_posix(): sha256_file(path)
        for path in Path(released["checkpoint_dir"]).rglob("*")
        if path.is_file()
    }
    model = {p: d for p, d in published.items() if not (is_document(p) or is_git_own(p))}
    assert paths == set(model)
    assert "model.safetensors.index.json" in paths
    assert sum(path.endswith(".safetensors") for path in paths) > 1
    for path, sha256 in model.items():
        assert sha256_file(Path(told["checkpoint"]) / path) == sha256, path


def test_the_archive_is_enough_and_another_rebuild_goes_on_from_the_first(
    house: House, released: dict[str, Any], tmp_path: Path
) -> None:
    """By the archive's address; again in the same folder nothing is quantized again."""
    into = str(tmp_path / "into")
    first = house.roundhouse("rebuild", released["archive"], "--into", into)
    assert first.status == 0, first.out + first.err
    assert "DIFFERS" not in first.out
    again = house.roundhouse("rebuild", released["archive"], "--into", into)
    assert again.status == 0, again.out + again.err
    assert again.seconds < first.seconds


def test_the_home_of_the_release_is_no_place_to_rebuild_it(
    house: House, released: dict[str, Any]
) -> None:
    """It would compare the release with itself: bad input, and nothing is touched."""
    said = house.roundhouse("rebuild", released["archive"], "--into", str(house.home))
    assert said.status == 2
    assert "--into" in said.err
    assert "Traceback" not in said.err
