"""What is read from a release's own documents, and what the command says of a bad one."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from tasks.core.errors import InputError, IntegrityError
from tasks.core.published import PROVENANCE, RECIPE
from tasks.core.records import Release
from tasks.core.repair_records import KeptLayers, RepairStep
from tasks.rebuild.claim import read_claim, read_recipe
from tasks.rebuild.place import take
from tasks.upload.documents import sign, write_documents
from tasks.upload.provenance import provenance
from tests.command import roundhouse_here
from tests.conftest import Keys
from tests.finished_stages import COMMIT, FACTS, finish_stages
from tests.finished_stages import RECIPE as CHOSEN

HUB = "https://hub.example"
SHARD = "model-00001-of-00002.safetensors"
PINNED = {"calibration.source": f"commit:{'a' * 40}:{'b' * 64}", "validation.heldout": "c" * 64}


def finished(home: Path, **facts: dict[str, Any]) -> Release:
    """A release whose stages are done; keyword arguments are facts of a stage."""
    own = {"plan": {"sources": PINNED}} | facts
    return finish_stages(home, "acme/made", facts=own)


def statement(release: Release) -> dict[str, Any]:
    return provenance(release, {f.path: f.sha256 for f in release.convert.files}, HUB)


@pytest.fixture
def published(tmp_path: Path, keys: Keys) -> Path:
    """A folder as a download of the release has it, signed."""
    release, folder = finished(tmp_path / "home"), tmp_path / "published"
    folder.mkdir()
    write_documents(release, folder, hub_url=HUB, former=None, signer=keys.signer)
    sign(release, folder, keys.signer)
    shutil.copytree(release.convert.path, folder, dirs_exist_ok=True)
    return folder


def test_the_provenance_names_all_that_is_needed(tmp_path: Path) -> None:
    """Base, data with their commits, shards, calibration set, device: as the records have them."""
    release = finished(tmp_path)
    claim = read_claim(statement(release))
    assert (claim.release, claim.base, claim.commit) == (
        release.plan.release_id,
        "acme/base-it",
        COMMIT,
    )
    assert claim.sources == PINNED
    assert claim.shards == {file.path: file.sha256 for file in release.base_weights}
    assert claim.calibration == release.calibrate.set_digest
    assert (claim.device, claim.versions) == ("cpu", FACTS["quantize"]["versions"])
    assert claim.files == {file.path: file.sha256 for file in release.convert.files}
    assert claim.repairs == ()


def test_repairs_are_named_by_their_layers(tmp_path: Path) -> None:
    """A repair keeps the base's layers, which a rebuild keeps too, in the same steps."""
    step = RepairStep(
        attempt=1, refusal="KL", engine="transformers", considered=4, tokens=96, kl_before=0.2,
        kl_after=0.1, bytes_before=1, bytes_after=2,
        kept=(KeptLayers(modules=("a.q_proj", "a.k_proj"), bytes=1, gain=0.1),),
    )  # fmt: skip
    claim = read_claim(statement(finished(tmp_path, convert={"repairs": (step,)})))
    assert claim.repairs == (("a.q_proj", "a.k_proj"),)


def test_a_release_with_archived_weights_names_the_one_to_rebuild(tmp_path: Path) -> None:
    """Its calibration set need not be the one that its own base gives."""
    with pytest.raises(InputError, match="not quantized for it") as refused:
        read_claim(statement(finished(tmp_path, quantize={"reused": "demo-earlier"})))
    assert "demo-earlier" in refused.value.remedy


@pytest.mark.parametrize("lost", ["buildDefinition", "runDetails"])
def test_a_provenance_that_lacks_something_is_refused(tmp_path: Path, lost: str) -> None:
    """Clearly, whatever is missing or of another kind."""
    said = statement(finished(tmp_path))
    others: tuple[Any, ...] = ({}, [], None)
    for other in others:
        with pytest.raises(IntegrityError, match=PROVENANCE):
            read_claim(said | {"predicate": said["predicate"] | {lost: other}})


def test_another_recipe_than_the_signed_one_is_refused(published: Path, tmp_path: Path) -> None:
    """The file beside the provenance is taken where its digest is the one that was signed."""
    claim = read_claim(statement(finished(tmp_path / "again")))
    data = (published / RECIPE).read_bytes()
    assert read_recipe(data, claim) == CHOSEN
    with pytest.raises(IntegrityError, match="not the recipe"):
        read_recipe(data.replace(b"seed: 42", b"seed: 43"), claim)
    for broken in (b"\xff", b"a: *b"):
        with pytest.raises(IntegrityError, match="not plain YAML"):
            read_recipe(broken, claim)


def test_only_a_folder_of_its_own_is_taken(tmp_path: Path) -> None:
    """New, empty, or the same rebuild's; not one of another release or of something else."""
    claim = read_claim(statement(finished(tmp_path / "home")))
    into = tmp_path / "into"
    take(into, claim)
    take(into, claim)
    other = claim.model_copy(update={"release": "demo-other"})
    for folder, wanted in ((into, other), (tmp_path / "home", claim)):
        with pytest.raises(InputError, match="something else"):
            take(folder, wanted)


def test_a_tampered_release_is_not_rebuilt(published: Path, keys: Keys, tmp_path: Path) -> None:
    """The command verifies first: exit 1, the file is named, and the folder is not even made."""
    into = tmp_path / "into"
    (published / SHARD).write_bytes(b"other")
    options = ("--key", str(keys.public), "--into", str(into))
    said = roundhouse_here("rebuild", str(published), *options)
    assert (said.status, SHARD in said.err) == (1, True), said.err
    assert not into.exists()


def test_a_release_that_is_not_there_and_a_key_that_is_not(tmp_path: Path) -> None:
    """Bad input: exit 2, and what to do."""
    said = roundhouse_here("rebuild", str(tmp_path))
    assert (said.status, "--key" in said.err) == (2, True)
