"""The calibration set, through its own child process, with the base's tokenizer and processor."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import SecretStr
from safetensors.numpy import load_file

from tasks.calibrate import samples
from tasks.calibrate.samples import build
from tasks.clients.hub import Hub
from tasks.core.digest import sha256_file, sha256_json
from tasks.core.errors import InputError, IntegrityError
from tasks.core.progress import Silent
from tasks.core.recipe import Recipe
from tasks.core.records import CalibrateRecord
from tests.calibrate.conftest import local_recipe, read_json, records

Rows = dict[str, list[dict[str, Any]]]
Make = Callable[..., Recipe]
IMAGE_INPUTS = ("pixel_values", "image_position_ids")


def made(base: Path, rows: Rows, recipe: Recipe, folder: Path) -> dict[str, object]:
    (folder / "scratch").mkdir(parents=True, exist_ok=True)
    return build(folder / "set", base, lambda: rows, recipe, folder / "scratch", Silent())


def test_the_set_is_what_it_says(
    base: Path, rows: Rows, recipe: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Samples are full and unpadded, their images whole, their provenance and digests true.

    Another process with another hash seed makes the same bytes.
    """
    facts = made(base, rows, recipe(), tmp_path / "a")
    tensors = load_file(tmp_path / "a" / "set" / "samples.safetensors")
    told = read_json(tmp_path / "a" / "set" / "provenance.json")
    ids = tensors["input_ids"]
    assert ids.shape == (6, 96)
    assert ids.dtype == np.int32
    assert (ids != 0).all(), "no padding"
    assert facts["image_samples"] == 2
    assert [sample["kind"] == "image" for sample in told["samples"]] == [False, False, True] * 2
    assert tensors["image.index"].tolist() == [2, 5]
    _check_images(base, rows, tensors, told)
    _check_digests(tensors, told)
    assert facts["set_digest"] == sha256_json([each["sha256"] for each in told["samples"]])

    monkeypatch.setenv("PYTHONHASHSEED", "7")
    assert made(base, rows, recipe(), tmp_path / "b") == facts
    first, second = (tmp_path / name / "set" / "samples.safetensors" for name in "ab")
    assert sha256_file(first) == sha256_file(second)


def _check_images(base: Path, rows: Rows, tensors: dict[str, Any], told: Any) -> None:
    """Image samples start with what the base's processor makes of their row."""
    from PIL import Image
    from transformers import AutoProcessor

    loader: Any = AutoProcessor
    processor = loader.from_pretrained(base)
    for at, number in enumerate(tensors["image.index"].tolist()):
        part = told["samples"][number]["rows"][0]
        row = rows["calibration.images"][part["row"]]
        messages = [dict(message) for message in row["messages"]]
        picture = {"type": "image", "image": Image.open(row["image"])}
        messages[0]["content"] = [picture, *messages[0]["content"][1:]]
        oracle = processor.apply_chat_template(
            messages, tokenize=True, return_dict=True, return_tensors="np"
        )
        length = part["tokens"]
        assert tensors["input_ids"][number, :length].tolist() == oracle["input_ids"][0].tolist()
        types = tensors["mm_token_type_ids"][number]
        assert types[:length].tolist() == oracle["mm_token_type_ids"][0].tolist()
        assert not types[length:].any()
        for name in IMAGE_INPUTS:
            assert (tensors[f"image.{name}"][at] == oracle[name][0]).all()


def _check_digests(tensors: dict[str, Any], told: Any) -> None:
    """A sample's digest is over its ids and its picture, and its parts add up to its length."""
    images = {number: at for at, number in enumerate(tensors["image.index"].tolist())}
    for number, sample in enumerate(told["samples"]):
        digest = hashlib.sha256(tensors["input_ids"][number].tobytes())
        if number in images:
            for name in sorted(IMAGE_INPUTS):
                tensor = tensors[f"image.{name}"][images[number]]
                digest.update(name.encode() + tensor.tobytes())
        assert sample["sha256"] == digest.hexdigest()
        assert sum(part["tokens"] for part in sample["rows"]) == 96


def test_held_out_rows_are_refused(base: Path, rows: Rows, recipe: Make, tmp_path: Path) -> None:
    """A set made of rows that the gate compares on is refused."""
    rows["validation.heldout"] = [rows["calibration.source"][n] for n in range(24)]
    with pytest.raises(InputError, match=r"overlaps row \d+ of validation\.heldout"):
        made(base, rows, recipe(), tmp_path)
    assert not (tmp_path / "set" / "provenance.json").exists()


def test_a_finished_set_is_handed_out_again(base: Path, rows: Rows, tmp_path: Path) -> None:
    """From files on this machine to a record; the second run reads the sources and makes nothing.

    Sources that changed since the plan are refused, since the release's name holds their digest.
    """
    recipe = local_recipe(rows, tmp_path / "data")
    hub = Hub("http://127.0.0.1:9", SecretStr(""))
    plan, download = records(recipe, base, hub)

    def run() -> CalibrateRecord:
        home, reporter = tmp_path / "home", Silent()
        return samples.run(plan, download, recipe=recipe, hub=hub, home=home, reporter=reporter)

    record = run()
    record.verify()
    assert [file.path for file in record.files] == ["provenance.json", "samples.safetensors"]
    stamp = (record.path / "samples.safetensors").stat().st_mtime_ns
    assert run() == record
    assert (record.path / "samples.safetensors").stat().st_mtime_ns == stamp
    (record.path / "samples.safetensors").unlink()
    (tmp_path / "data" / "source.jsonl").write_text('{"text": "another"}')
    with pytest.raises(IntegrityError, match="changed since the plan"):
        run()
