"""What must hold after a round: each release once on the Hub and once in the archive, nothing left.

Everything is looked at from outside, through the servers' own interfaces.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import psutil
from huggingface_hub import HfApi
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState
from prefect.client.schemas.filters import FlowRunFilterStateType as Types
from prefect.client.schemas.objects import StateType

from infra.local.environment import BUCKET
from tasks.clients.hub import Hub
from tasks.clients.s3 import Store
from tasks.core.progress import Silent
from tasks.core.settings import Settings
from tasks.sign.signer import Verifier
from tasks.verify.verify import Verify
from tests.cluster.releases import Order, Outcome, tagged

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

SILENCE_SECONDS = 300.0
LIVE = [StateType.PENDING, StateType.RUNNING, StateType.CANCELLING, StateType.SCHEDULED]
WEIGHTS = (".safetensors", "config.json")


@dataclass(frozen=True)
class Round:
    """What a round was about: its name, its orders, and their outcome."""

    name: str
    orders: list[Order]
    outcome: Outcome
    settings: Settings


def check(made: Round, client: SyncPrefectClient, verifier: Verifier) -> dict[str, dict[str, str]]:
    """Assert all of it; gives the sha256 of the model's large files by release id.

    Raises:
        AssertionError: what did not hold.
    """
    states = made.outcome.states
    assert set(states.values()) == {"Completed"}, states
    assert len(tagged(client, made.name)) == len(made.orders)
    released = {target: summary.release_id for target, summary in made.outcome.summaries.items()}
    assert len(set(released.values())) == len(made.orders), "each is a release of its own"
    _check_archives(made)
    _check_workspace(made)
    verify = Verify(
        verifier, Hub.from_settings(made.settings), Store.from_settings(made.settings), Silent()
    )
    for target, summary in made.outcome.summaries.items():
        for address in (f"hub:{target}@{summary.release_id}", summary.archive):
            found = verify(address)
            assert found.good, found.problems
    return {release: _published(made, target, release) for target, release in released.items()}


def _published(made: Round, target: str, release: str) -> dict[str, str]:
    """One commit and one tag, and the weights that they hold."""
    settings = made.settings
    hub = HfApi(settings.hub_endpoint, token=settings.hub_token.get_secret_value())
    commits = [commit.title for commit in hub.list_repo_commits(target)]
    assert commits.count(f"Release {release}") == 1, commits
    assert [tag.name for tag in hub.list_repo_refs(target).tags] == [release]
    files = hub.model_info(target, revision=release, files_metadata=True).siblings or []
    return {file.rfilename: file.lfs.sha256 for file in files if file.lfs is not None}


def _check_archives(made: Round) -> None:
    """As many manifests as releases below the round's archive, each where its summary says."""
    manifests = [key for key in _keys(made.settings, made.settings.archive) if _is_manifest(key)]
    said = {
        f"{summary.archive.removeprefix(f's3://{BUCKET}/')}/manifest.json"
        for summary in made.outcome.summaries.values()
    }
    assert sorted(manifests) == sorted(said)


def _is_manifest(key: str) -> bool:
    return key.endswith("/manifest.json")


def _check_workspace(made: Round) -> None:
    """No lease, nothing of killed attempts, and no upload that was begun and not ended."""
    left = [key for key in _keys(made.settings, made.settings.workspace) if _is_passing(key)]
    assert not left, left
    uploads = _s3(made.settings).list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])
    assert not uploads, uploads


def _is_passing(key: str) -> bool:
    return key.endswith(".lease") or ".scratch/" in key


def wait_for_silence(client: SyncPrefectClient) -> None:
    """Wait until no run is under way: a stage whose release died may still be at its end.

    Raises:
        AssertionError: one stays.
    """
    until = time.monotonic() + SILENCE_SECONDS
    while runs := _live(client):
        assert time.monotonic() < until, runs
        time.sleep(1)


def _live(client: SyncPrefectClient) -> list[str]:
    live = FlowRunFilter(state=FlowRunFilterState(type=Types(any_=LIVE)))
    return [f"{run.name}: {run.state_name}" for run in client.read_flow_runs(flow_run_filter=live)]


def check_nothing_runs(client: SyncPrefectClient, homes: Path) -> None:
    """No run that is not at its end, and no process of a machine, once all are switched off."""
    runs = _live(client)
    assert not runs, runs
    left = [process for process in psutil.process_iter() if _lives_in(process, homes)]
    assert not left, left


def _lives_in(process: psutil.Process, homes: Path) -> bool:
    try:
        return process.environ().get("ROUNDHOUSE_HOME", "").startswith(str(homes))
    except psutil.Error:
        return False


def _keys(settings: Settings, uri: str) -> list[str]:
    prefix = uri.removeprefix(f"s3://{BUCKET}/")
    pages = _s3(settings).get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
    return [item["Key"] for page in pages for item in page.get("Contents", [])]


def _s3(settings: Settings) -> "S3Client":
    return boto3.client(
        "s3",
        endpoint_url=settings.s3_endpoint,
        region_name=settings.s3_region,
        aws_access_key_id=settings.s3_access_key.get_secret_value(),
        aws_secret_access_key=settings.s3_secret_key.get_secret_value(),
    )
