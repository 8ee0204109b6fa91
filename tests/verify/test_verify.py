"""A published release against its signature: every file, on disk, on the Hub and in S3."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import CommitOperationAdd

from tasks.archive.restore import restore
from tasks.clients.s3_objects import Address
from tasks.core.archived import MANIFEST, Manifest
from tasks.core.errors import BaseModelError, InputError, StoreError
from tasks.core.published import PROVENANCE, SIGNATURE, SUMS
from tests.conftest import Keys
from tests.verify.conftest import SILENT, WHOLE, House, Published
from tests.verify.flip import flipped

SHARD = "model-00001-of-00002.safetensors"


def wrong(house: House, address: str, **how: Any) -> list[str]:
    return [problem.path for problem in house.verify(address, **how).problems]


def download(house: House, published: Published, folder: Path) -> Path:
    api = house.hub_server.api()
    api.snapshot_download(published.repo, revision=published.upload.tag, local_dir=folder)
    return folder


def test_a_release_is_good_everywhere(house: House, published: Published, tmp_path: Path) -> None:
    """Hub tag and head, download, archive, restored archive: all files, the right key and name."""
    restore(published.archive.uri, tmp_path / "back", house.s3_server.store(), SILENT)
    folder = download(house, published, tmp_path / "there")
    places = [published.at, f"hub:{published.repo}", str(folder), published.archive.uri]
    places += [str(tmp_path / "back"), str(tmp_path / "back" / "checkpoint")]
    for place in places:
        found = house.verify(place)
        assert found.good, found
        assert found.release == published.upload.tag
        assert found.key == house.keys.signer.verifier.name
        assert found.files > 15


def _commit(house: House, repo: str, path: str, data: bytes) -> str:
    change = [CommitOperationAdd(path, data)]
    return str(house.hub_server.api().create_commit(repo, change, commit_message="x").oid)


@pytest.mark.parametrize("at", range(0, 2000, 53))
def test_no_byte_of_a_manifest_can_change(house: House, archived: Path, at: int) -> None:
    """Whatever byte of it is another: the manifest is named, or the file that it then misnames."""
    data = (archived / MANIFEST).read_bytes()
    changed = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
    (archived / MANIFEST).write_bytes(changed)
    try:
        assert MANIFEST in wrong(house, str(archived))
    finally:
        (archived / MANIFEST).write_bytes(data)


@pytest.fixture(scope="module")
def archived(house: House, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A restored archive."""
    from tests.finished_stages import finish_stages, randomly

    release = finish_stages(house.home, randomly("acme/published"), files=WHOLE)
    folder = tmp_path_factory.mktemp("archived") / "back"
    restore(house.publish(release)[1].uri, folder, house.s3_server.store(), SILENT)
    return folder


def test_a_deep_look_does_not_trust_checksums(house: House, published: Published) -> None:
    """Weights with a forged CRC in a manifest pass neither look: the manifest is signed."""
    store, uri = house.s3_server.store(), published.archive.uri
    at, client = Address.parse(uri), house.s3_server.client()
    shard = f"checkpoint/{SHARD}"
    body = flipped(shard, store.read(f"{uri}/{shard}"))
    put = {"Bucket": at.bucket, "ChecksumAlgorithm": "CRC64NVME"}
    client.put_object(Key=f"{at.key}/{shard}", Body=body, **put)  # type: ignore[arg-type]
    there = store.head(f"{uri}/{shard}")
    assert there is not None
    manifest = Manifest.parse(store.read(f"{uri}/{MANIFEST}"), "x")
    files = [
        f.model_copy(update={"crc64nvme": there.crc64nvme}) if f.path == shard else f
        for f in manifest.files
    ]
    forged = manifest.model_copy(update={"files": tuple(files)}).to_json()
    client.put_object(Key=f"{at.key}/{MANIFEST}", Body=forged, **put)  # type: ignore[arg-type]
    assert wrong(house, uri) == [MANIFEST]
    assert wrong(house, uri, deep=True) == [MANIFEST, shard]


def test_missing_and_extra_files_are_named(
    house: House, published: Published, tmp_path: Path
) -> None:
    """Code beside the weights, a lost file, and both in S3."""
    folder = download(house, published, tmp_path / "there")
    (folder / "modeling.py").write_text("import os")
    (folder / "config.json").unlink()
    assert wrong(house, str(folder)) == ["config.json", "modeling.py"]
    made = _commit(house, published.repo, "modeling.py", b"import os")
    assert wrong(house, f"hub:{published.repo}@{made}") == ["modeling.py"]
    at, client = Address.parse(published.archive.uri), house.s3_server.client()
    client.put_object(Bucket=at.bucket, Key=f"{at.key}/intruder.bin", Body=b"hello")
    client.delete_object(Bucket=at.bucket, Key=f"{at.key}/recipe.json")
    assert wrong(house, published.archive.uri) == ["recipe.json", "intruder.bin"]


def test_another_key_is_not_believed(house: House, published: Published, tmp_path: Path) -> None:
    """A release that somebody else signed whole fails, on the Hub and in S3."""
    other = Keys.make(tmp_path / "other")
    assert [p.path for p in house.verify(published.at, key=other).problems] == [SIGNATURE]
    found = house.verify(published.archive.uri, key=other)
    assert [p.path for p in found.problems] == [MANIFEST, f"checkpoint/{SIGNATURE}"]


def test_a_release_of_another_name_is_not_taken_for_it(
    house: House, publish: Callable[..., Published]
) -> None:
    """Signed whole, but for another repository, or under another release's tag."""
    old, new = publish(), publish(release_id="demo-01234567-bbbbbbbbbb")
    api, other = house.hub_server.api(), "demo-01234567-cccccccccc"
    api.create_tag(new.repo, tag=other)
    (problem,) = house.verify(f"hub:{new.repo}@{other}").problems
    assert problem.what == f"it is the release {new.upload.tag}, not {other}"
    folder = download(house, old, house.home / "copy")
    shutil.rmtree(folder / ".cache")
    api.upload_folder(folder_path=folder, repo_id=new.repo, delete_patterns="*")
    (problem,) = house.verify(f"hub:{new.repo}").problems
    assert problem.path == PROVENANCE
    assert problem.what == f"it was signed for {old.repo}, not for {new.repo}"


def test_without_a_key_damage_is_found_all_the_same(
    house: House, published: Published, tmp_path: Path
) -> None:
    """By the list of digests; the outcome says that no signature was checked."""
    folder = download(house, published, tmp_path / "there")
    found = house.verify(str(folder), signed=False)
    assert (found.good, found.key) == (True, "")
    (folder / SHARD).write_bytes(flipped(SHARD, (folder / SHARD).read_bytes()))
    assert wrong(house, str(folder), signed=False) == [SHARD]
    (folder / SUMS).write_text("nonsense\n")
    assert SUMS in wrong(house, str(folder), signed=False)


def test_what_is_no_release_is_bad_input(house: House, tmp_path: Path) -> None:
    """Nothing there: an error that says so; a folder that is no release fails."""
    for address, error in [
        (str(tmp_path / "nowhere"), InputError),
        ("hub:not a repo", InputError),
        ("hub:acme/nowhere", BaseModelError),
        ("s3://artifacts/nowhere", StoreError),
    ]:
        with pytest.raises(error):
            house.verify(address)
    assert wrong(house, str(tmp_path)) == [SIGNATURE, SUMS]
