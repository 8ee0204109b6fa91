"""A rebuild against a release: what is compared, what is refused, and before what."""

from pathlib import Path

import pytest

from tasks.core.digest import sha256_file
from tasks.core.errors import CheckFailed, IntegrityError
from tasks.core.manifest import relative_files
from tasks.rebuild.claim import Claim
from tasks.rebuild.compare import (
    compare_files,
    doubts,
    refuse_difference,
    refuse_other_base,
    refuse_other_calibration,
)

FILES = {
    "model-00001-of-00002.safetensors": b"one" * 99,
    "model-00002-of-00002.safetensors": b"two" * 99,
    "model.safetensors.index.json": b"{}",
    "config.json": b"{ }",
}
CLAIM = Claim(
    release="demo-01234567-aaaaaaaaaa",
    base="acme/base",
    commit="c" * 40,
    recipe_digest="d" * 64,
    weights_of="demo-01234567-aaaaaaaaaa",
    device="NVIDIA H200",
    versions={"torch": "2.13.0", "auto-round": "0.16.1"},
    sources={},
    shards={"model.safetensors": "e" * 64},
    calibration="f" * 64,
    repairs=(),
    files={},
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, data in FILES.items():
        (tmp_path / name).write_bytes(data)
    return tmp_path


def digests(folder: Path) -> dict[str, str]:
    return {path: sha256_file(folder / path) for path in relative_files(folder)}


def test_equal_files_are_no_difference(folder: Path) -> None:
    """Every file of the model is compared; what tells of it is not, on either side."""
    published = digests(folder)
    told = {"README.md": "a", "model.sig": "b", "roundhouse/SHA256SUMS": "c", ".gitattributes": "d"}
    files = compare_files(published | told, published | {"roundhouse/autoround_config.json": "e"})
    assert {file.path for file in files} == set(FILES)
    assert all(file.same for file in files)
    refuse_difference(files, ("another device",))


@pytest.mark.parametrize("name", FILES)
def test_one_byte_is_a_difference(folder: Path, name: str) -> None:
    """Whichever file has another byte is named, with both digests; exit status 1."""
    published = digests(folder)
    data = bytearray((folder / name).read_bytes())
    data[1] ^= 1
    (folder / name).write_bytes(data)
    files = compare_files(published, digests(folder))
    assert [file.path for file in files if not file.same] == [name]
    with pytest.raises(CheckFailed, match=name) as refused:
        refuse_difference(files, ())
    assert refused.value.exit_code == 1
    assert refused.value.expected == published[name]
    assert refused.value.found == sha256_file(folder / name)


def test_a_file_too_few_or_too_many_is_a_difference(folder: Path) -> None:
    """The first by name is the one that is told; a digest that is not there is `none`."""
    published = digests(folder)
    (folder / "model-00002-of-00002.safetensors").rename(folder / "model.safetensors")
    files = compare_files(published, digests(folder))
    with pytest.raises(CheckFailed, match=r"model-00002-of-.* 2 of 5") as refused:
        refuse_difference(files, ("the release was quantized on A, this machine has B",))
    assert refused.value.found == "none"
    assert "on A, this machine has B" in refused.value.remedy


def test_nothing_compared_is_no_success() -> None:
    """A release without a model has not been rebuilt."""
    with pytest.raises(CheckFailed):
        refuse_difference(compare_files({"README.md": "a"}, {}), ())


def test_another_device_and_another_package_are_told() -> None:
    """Both are reasons for other bytes; the same machine gives none."""
    assert list(doubts(CLAIM, "NVIDIA H200", CLAIM.versions)) == []
    device, package = doubts(CLAIM, "cpu", CLAIM.versions | {"torch": "2.14.0"})
    assert "NVIDIA H200" in device
    assert "cpu" in device
    assert "torch 2.13.0" in package
    assert "2.14.0" in package


def test_another_base_and_another_calibration_set_are_refused() -> None:
    """Before anything is quantized; a shard that is missing counts."""
    refuse_other_base(CLAIM, {"model.safetensors": "e" * 64, "config.json": "0"})
    refuse_other_calibration(CLAIM, "f" * 64)
    for downloaded in ({"model.safetensors": "0" * 64}, {}):
        with pytest.raises(IntegrityError, match=r"model\.safetensors of acme/base"):
            refuse_other_base(CLAIM, downloaded)
    with pytest.raises(CheckFailed, match="calibration set"):
        refuse_other_calibration(CLAIM, "0" * 64)
