"""The demo release, end to end: what is said, what is published, what a second run does."""

from pathlib import Path
from typing import Any

import boto3
import pytest
from huggingface_hub import HfApi

from tasks.core.checkpoint import Checkpoint
from tasks.core.records import ConvertRecord
from tests.e2e.house import BASE, TARGET, Demo, House

pytestmark = [pytest.mark.e2e, pytest.mark.heavy]
STAGES = [
    "plan",
    "download",
    "calibrate",
    "quantize",
    "convert",
    "validate",
    "upload",
    "archive",
]


def _hub(house: House) -> HfApi:
    return HfApi(house.env["HF_ENDPOINT"], token=house.env["HF_TOKEN"])


def _archived(house: House) -> dict[str, str]:
    client = boto3.client(
        "s3",
        endpoint_url=house.env["AWS_ENDPOINT_URL_S3"],
        aws_access_key_id=house.env["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=house.env["AWS_SECRET_ACCESS_KEY"],
        region_name="us-east-1",
    )
    pages = client.get_paginator("list_objects_v2").paginate(Bucket="artifacts")
    objects: list[Any] = [item for page in pages for item in page.get("Contents", [])]
    return {item["Key"]: f"{item['ETag']} {item['LastModified']}" for item in objects}


def _made(demo: Demo) -> dict[str, int]:
    """When each file of the release's workspace was written."""
    release = Path(demo.outcome["checkpoint_dir"]).parent
    return {
        str(path.relative_to(release)): path.stat().st_mtime_ns
        for stage in STAGES
        for path in release.glob(f"**/{stage}*/**/*")
        if ".lock" not in path.name
    }


def test_outcome_is_told_to_people_and_programs(demo: Demo) -> None:
    """The last lines and the JSON name Hub, commit, archive, verdict, report, stage seconds."""
    outcome, last = demo.outcome, demo.finished.out
    assert outcome["verdict"] == "ACCEPT"
    assert outcome["hub_repo"] == TARGET
    assert list(outcome["seconds"]) == STAGES
    for told in ("hub_url", "hub_revision", "archive", "verdict", "report", "release_id"):
        assert str(outcome[told]) in last
    for folder in ("base_dir", "checkpoint_dir", "report"):
        assert Path(outcome[folder]).exists()


def test_release_is_one_tagged_commit(house: House, demo: Demo) -> None:
    """The Hub holds one commit beyond the repository's first, tagged with the release id."""
    hub = _hub(house)
    assert len(hub.list_repo_commits(TARGET)) == 2
    (tag,) = hub.list_repo_refs(TARGET).tags
    assert (tag.name, tag.target_commit) == (
        demo.outcome["release_id"],
        demo.outcome["hub_revision"],
    )


def test_archive_ends_with_its_manifest(house: House, demo: Demo) -> None:
    """The archive's folder holds a manifest, and nothing was written after it."""
    prefix = demo.outcome["archive"].removeprefix("s3://artifacts/").rstrip("/")
    ours = {key: seen for key, seen in _archived(house).items() if key.startswith(prefix)}
    manifest = ours[f"{prefix}/manifest.json"].split(maxsplit=1)[1]
    assert len(ours) > 10
    assert max(seen.split(maxsplit=1)[1] for seen in ours.values()) == manifest


def test_unquantized_tensors_are_the_base_bytes(house: House, demo: Demo, tmp_path: Path) -> None:
    """Every tensor of the published release that the base also has, has the base's bytes."""
    hub = _hub(house)
    folder = hub.snapshot_download(
        TARGET, revision=demo.outcome["release_id"], local_dir=tmp_path / "release"
    )
    release = Checkpoint(Path(folder))
    base = Checkpoint(Path(hub.snapshot_download(BASE, local_dir=tmp_path / "base")))
    shared = [name for name in base.where if name in release]
    assert all(release.read(name) == base.read(name) for name in shared)
    quantized = {n.removesuffix("_packed") for n in release.where if n.endswith("_packed")}
    assert set(shared) | quantized == set(base.where)
    record = Path(demo.outcome["checkpoint_dir"]).parent / "convert.json"
    assert (
        len(quantized) == ConvertRecord.model_validate_json(record.read_bytes()).quantized_modules
    )


def test_again_does_nothing(house: House, demo: Demo) -> None:
    """The same release again recomputes no stage and adds no commit, tag or object."""
    hub = _hub(house)
    before = (_made(demo), _archived(house), [c.commit_id for c in hub.list_repo_commits(TARGET)])
    again = house.roundhouse("release", BASE, "--to", TARGET, "--recipe", "demo")
    assert again.status == 0, again.out + again.err
    after = (_made(demo), _archived(house), [c.commit_id for c in hub.list_repo_commits(TARGET)])
    assert after == before
    assert demo.outcome["hub_revision"] in again.out
