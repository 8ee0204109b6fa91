"""Archives in a real S3 server."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tasks.archive.manifest import find_manifest, read_manifest
from tasks.archive.restore import restore
from tasks.clients.s3 import Store
from tasks.clients.s3_objects import Address
from tasks.core.archived import MANIFEST, Manifest
from tasks.core.digest import sha256_file
from tasks.core.errors import (
    CheckFailed,
    InputError,
    IntegrityError,
    ResourceError,
    RoundhouseError,
    StoreError,
)
from tasks.core.manifest import relative_files
from tests.archived_case import SHARD, SILENT, Case, overwrite, sent_by
from tests.conftest import Keys, S3Server
from tests.finished_stages import randomly

PUTS = {"PutObject", "CreateMultipartUpload", "UploadPart", "DeleteObject"}


@pytest.fixture
def case(s3_server: S3Server, keys: Keys, tmp_path: Path) -> Case:
    return Case.make(s3_server, tmp_path / "home", randomly("acme/release"), keys)


def test_an_archive_restores_to_what_was_archived(case: Case, tmp_path: Path) -> None:
    """Every stage's file, record and log comes back byte for byte; weights of AutoRound do not."""
    uri = case.run().uri
    folder = tmp_path / "back"
    restore(uri, folder, case.store, SILENT)
    for prefix, stage in [
        ("checkpoint", case.sources.convert),
        ("checkpoint", case.upload),
        ("calibration", case.sources.calibrate),
        ("evidence", case.sources.validate),
    ]:
        for file in stage.files:
            assert sha256_file(folder / prefix / file.path) == file.sha256
    other = {path for path in relative_files(folder) if not path.startswith("checkpoint/")}
    stages = ["calibrate", "convert", "download", "plan", "quantize", "upload", "validate"]
    assert other >= {f"records/{stage}.json" for stage in stages}
    assert other >= {MANIFEST, "recipe.json", "logs/quantize/worker.log"}
    assert [path for path in other if path.startswith("quantizer/")] == [
        "quantizer/quantization_config.json"
    ]
    assert not (tmp_path / "back.partial").exists()


def test_records_name_no_machine(case: Case, tmp_path: Path) -> None:
    """The folder of a stage means nothing elsewhere, so no archived record names one."""
    restore(case.run().uri, tmp_path / "back", case.store, SILENT)
    for path in (tmp_path / "back" / "records").iterdir():
        assert json.loads(path.read_text())["folder"] == ""
        assert str(tmp_path) not in path.read_text()


def test_the_manifest_names_the_release_and_is_written_last(
    s3_server: S3Server, case: Case
) -> None:
    """Ids of base, Hub commit and tag; the newest object is the manifest."""
    uri = case.run().uri
    assert uri.endswith(f"/{case.sources.plan.target}/{case.sources.plan.release_id}")
    manifest = find_manifest(uri, case.store)
    assert manifest is not None
    assert manifest.origin.base_commit == case.sources.plan.commit
    assert (manifest.origin.commit, manifest.origin.tag) == (case.upload.commit, case.upload.tag)
    with sent_by(case.store) as sent:
        found = {path for path, _ in case.store.list(uri)}
    assert sent == ["ListObjectsV2"]
    assert found == {file.path for file in manifest.files} | {MANIFEST}
    prefix = Address.parse(uri).key
    objects = s3_server.client().list_objects_v2(Bucket="artifacts", Prefix=prefix)["Contents"]
    assert max(objects, key=lambda o: o["LastModified"])["LastModified"] == next(
        o["LastModified"] for o in objects if o["Key"].endswith(MANIFEST)
    )


def test_a_second_run_puts_nothing(
    case: Case, s3_server: S3Server, keys: Keys, tmp_path: Path
) -> None:
    """In the same workspace, with the record lost, and in a new workspace whose logs differ."""
    first = case.run()
    new = Case.make(
        s3_server, tmp_path / "new", case.upload.repo, keys, facts={"quantize": {"peak_ram": 9}}
    )
    for again in (case, case, new):
        with sent_by(again.store) as sent:
            assert again.run().uri == first.uri
        assert set(sent) & PUTS == set()
        case.forget()
        case.run()


def test_an_archive_that_is_gone_is_made_again(case: Case, s3_server: S3Server) -> None:
    """The workspace's record does not stand for what S3 no longer has."""
    uri = case.run().uri
    for path, _ in list(case.store.list(uri)):
        s3_server.client().delete_object(Bucket="artifacts", Key=f"{Address.parse(uri).key}/{path}")
    assert case.run().uri == uri
    assert len(list(case.store.list(uri))) == len(read_manifest(uri, case.store).files) + 1


def test_a_run_that_died_is_taken_up(case: Case) -> None:
    """Objects that are there are not sent again; the manifest follows when all are."""
    puts: list[str] = []

    def die(params: dict[str, Any], **_: object) -> None:
        puts.append(params["headers"].get("x-amz-meta-sha256", ""))
        if len(puts) == 4:
            raise ConnectionAbortedError

    events = case.store._client.meta.events
    events.register("before-call.s3.PutObject", die)
    with pytest.raises(ConnectionAbortedError):
        case.run()
    uri = f"{case.settings.archive}/{case.upload.repo}/{case.upload.tag}"
    assert find_manifest(uri, case.store) is None
    with pytest.raises(StoreError, match="no whole archive"):
        read_manifest(uri, case.store)
    case.run()
    events.unregister("before-call.s3.PutObject", die)
    manifest = read_manifest(uri, case.store)
    assert len(puts) == len(manifest.files) + 1 + 1, "all, the manifest, and the one that died"


def test_another_release_under_the_name_is_refused(
    case: Case, s3_server: S3Server, keys: Keys, tmp_path: Path
) -> None:
    """Other weights under an archived name: an error that names them, and nothing changes."""
    uri = case.run().uri
    before = read_manifest(uri, case.store)
    files = {"convert": {"model-00001-of-00002.safetensors": b"other"}}
    other = Case.make(s3_server, tmp_path / "other", case.upload.repo, keys, files=files)
    with pytest.raises(IntegrityError, match="model-00001-of-00002"):
        other.run()
    assert read_manifest(uri, case.store) == before


def test_a_damaged_archive_is_not_restored(case: Case, s3_server: S3Server, tmp_path: Path) -> None:
    """The object is named and the folder does not appear; mended, the rest is not read again."""
    uri = case.run().uri
    good = case.store.read(f"{uri}/{SHARD}")
    overwrite(s3_server, f"{uri}/{SHARD}", b"X" + good[1:])
    with pytest.raises(IntegrityError, match=SHARD):
        restore(uri, tmp_path / "back", case.store, SILENT)
    assert not (tmp_path / "back").exists()
    overwrite(s3_server, f"{uri}/{SHARD}", good)
    (tmp_path / "back.partial" / "leftover.txt").write_text("of another restore")
    kept = set(relative_files(tmp_path / "back.partial"))
    with sent_by(case.store) as sent:
        restore(uri, tmp_path / "back", case.store, SILENT)
    manifest = find_manifest(uri, case.store)
    assert manifest is not None
    assert len(kept) > 1
    assert sent.count("GetObject") == len(manifest.files) - len(kept) + 1 + 1
    assert set(relative_files(tmp_path / "back")) == {f.path for f in manifest.files} | {MANIFEST}


def test_a_folder_that_exists_is_left_alone(case: Case, tmp_path: Path) -> None:
    """Restoring never writes into what is there."""
    with pytest.raises(InputError, match="exists already"):
        restore(case.run().uri, tmp_path, case.store, SILENT)


@pytest.mark.parametrize("path", ["../evil", "/etc/evil", "a/../../evil", "a\\..\\evil", ""])
def test_a_path_out_of_the_folder_is_refused(
    case: Case, s3_server: S3Server, tmp_path: Path, path: str
) -> None:
    """A manifest that was tampered with is refused whole, before any file is written."""
    uri = case.run().uri
    manifest = json.loads(case.store.read(f"{uri}/{MANIFEST}"))
    manifest["files"][0]["path"] = path
    overwrite(s3_server, f"{uri}/{MANIFEST}", json.dumps(manifest).encode())
    with pytest.raises(IntegrityError, match="no manifest"):
        restore(uri, tmp_path / "back" / "folder", case.store, SILENT)
    assert not (tmp_path / "back").exists()


def test_a_disk_that_is_too_small_is_told_before_reading(
    case: Case, s3_server: S3Server, tmp_path: Path
) -> None:
    """More bytes than the disk has: ResourceError with both figures."""
    uri = case.run().uri
    manifest = json.loads(case.store.read(f"{uri}/{MANIFEST}"))
    manifest["files"][0]["size"] = shutil.disk_usage(tmp_path).total * 2
    overwrite(s3_server, f"{uri}/{MANIFEST}", json.dumps(manifest).encode())
    with pytest.raises(ResourceError, match="bytes free"):
        restore(uri, tmp_path / "back", case.store, SILENT)


def test_secrets_are_not_archived(case: Case) -> None:
    """A log that holds the S3 key is refused before anything is sent."""
    secret = case.settings.s3_secret_key.get_secret_value()
    (case.logs / "quantize" / "worker.log").write_text(f"key={secret}\n")
    with sent_by(case.store) as sent, pytest.raises(CheckFailed, match="s3_secret_key") as refused:
        case.run()
    assert sent == []
    assert secret not in str(refused.value)


def test_wrong_credentials_are_found_before_anything_is_sent(
    case: Case, s3_server: S3Server
) -> None:
    """The message says what to set; no object is made."""
    case.store = Store.from_settings(s3_server.settings(secret="wrong"))
    with pytest.raises(RoundhouseError, match=r"AWS_SECRET_ACCESS_KEY"):
        case.run()
    uri = f"{case.settings.archive}/{case.upload.repo}"
    assert list(s3_server.store().list(uri)) == []


def test_a_missing_bucket_is_named(case: Case) -> None:
    """An archive address with a wrong bucket ends in what to do."""
    case.settings = case.settings.model_copy(update={"archive": "s3://no-such-bucket/releases"})
    with pytest.raises(StoreError, match="create the bucket"):
        case.run()


def test_a_manifest_reads_back_as_it_was_written(case: Case) -> None:
    """JSON round trip of every field."""
    manifest = find_manifest(case.run().uri, case.store)
    assert manifest is not None
    assert Manifest.model_validate_json(manifest.to_json()) == manifest
