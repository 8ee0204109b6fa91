"""Storage class and object lock of archived objects, on a bucket that can be locked."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError
from pydantic import ValidationError

from tasks.archive.restore import restore
from tasks.clients.s3 import Store
from tasks.clients.s3_multipart import Multipart
from tasks.clients.s3_objects import Address
from tasks.clients.s3_terms import Terms
from tasks.core.archived import MANIFEST
from tasks.core.errors import StoreError
from tasks.core.settings import Settings
from tests.archived_case import SHARD, SILENT, Case
from tests.conftest import Keys, S3Server
from tests.finished_stages import randomly

LARGE = 6_000_001
"""Bytes that make two parts."""


@pytest.fixture
def bucket(s3_server: S3Server) -> str:
    """A bucket that was made with object lock."""
    name = f"locked-{uuid4().hex[:8]}"
    s3_server.client().create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    return name


def locked_store(server: S3Server, bucket: str, **others: Any) -> tuple[Store, Settings]:
    terms: dict[str, Any] = {"archive_lock": "GOVERNANCE", "archive_lock_days": 3}
    settings = server.settings(archive=f"s3://{bucket}/releases", **terms, **others)
    return Store.from_settings(settings, Multipart(5 << 20)), settings


def test_a_locked_archive_cannot_be_deleted(
    s3_server: S3Server, bucket: str, keys: Keys, tmp_path: Path
) -> None:
    """Every object, the manifest too, is held for the days that were set; restoring works."""
    files = {"convert": {"model-00001-of-00002.safetensors": b"w" * LARGE}}
    case = Case.make(s3_server, tmp_path / "home", randomly("acme/r"), keys, files=files)
    store, settings = locked_store(s3_server, bucket, signing_key=keys.private)
    case.store, case.settings = store, settings
    uri = case.run().uri
    client, prefix = s3_server.client(), Address.parse(uri).key
    versions = client.list_object_versions(Bucket=bucket, Prefix=prefix)["Versions"]
    assert len(versions) == len(list(store.list(uri))) > 10
    for version in versions:
        name: dict[str, Any] = {
            "Bucket": bucket,
            "Key": version["Key"],
            "VersionId": version["VersionId"],
        }
        kept = client.get_object_retention(**name)["Retention"]
        assert kept["Mode"] == "GOVERNANCE"
        left = kept["RetainUntilDate"] - datetime.now(UTC)
        assert timedelta(days=2, hours=23) < left < timedelta(days=3, minutes=1)
        with pytest.raises(ClientError, match="AccessDenied"):
            client.delete_object(**name)
    restore(uri, tmp_path / "back", store, SILENT)
    assert case.run().uri == uri, "a second run writes nothing to a locked archive"


def test_weights_alone_may_lie_cold(s3_server: S3Server, keys: Keys, tmp_path: Path) -> None:
    """The storage class goes to the shards; what a verification reads stays where it is read."""
    case = Case.make(s3_server, tmp_path, randomly("acme/r"), keys)
    settings = s3_server.settings(signing_key=keys.private, archive_storage_class="GLACIER_IR")
    case.store, case.settings = Store.from_settings(settings), settings
    sent: dict[str, str] = {}

    def note(params: dict[str, dict[str, str]], **_: object) -> None:
        headers = params["headers"]
        sent[str(params["url_path"])] = headers.get("x-amz-storage-class", "")

    events = case.store._client.meta.events
    events.register("before-call.s3.PutObject", note)
    uri = case.run().uri
    prefix = f"/{Address.parse(uri).key}/"
    classes = {path.partition(prefix)[2] or path: kind for path, kind in sent.items()}
    cold = {path for path, kind in classes.items() if kind == "GLACIER_IR"}
    assert {path for path in cold if not path.endswith(".safetensors")} == set()
    assert SHARD in cold
    assert classes[MANIFEST] == ""


def test_a_bucket_without_lock_says_what_is_missing(
    s3_server: S3Server, keys: Keys, tmp_path: Path
) -> None:
    """Asked to lock where it cannot be: an error of ours, and no manifest."""
    case = Case.make(s3_server, tmp_path, randomly("acme/r"), keys)
    case.store, case.settings = locked_store(s3_server, "artifacts", signing_key=keys.private)
    with pytest.raises(StoreError, match="cannot lock objects"):
        case.run()
    assert not [p for p, _ in case.store.list(f"{case.settings.archive}/{case.upload.repo}")]


def test_terms_are_arguments_of_boto3() -> None:
    """Nothing where nothing is set; the class for cold objects alone."""
    assert Terms().arguments(cold=True) == {}
    terms = Terms("GLACIER_IR", "COMPLIANCE", 2)
    assert terms.arguments(cold=True)["StorageClass"] == "GLACIER_IR"
    assert set(terms.arguments(cold=False)) == {"ObjectLockMode", "ObjectLockRetainUntilDate"}
    with pytest.raises(ValidationError):
        Settings.model_validate({"archive_lock": "FOREVER"})
