"""A process worker settles what its predecessor on this machine lost, on a real Prefect server."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from prefect import flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import StateType
from prefect.states import Completed, Running
from prefect.testing.utilities import prefect_test_harness

from infra.local.orphans import RUN_ID
from infra.worker import settle
from tasks.core.presence import FOLDER, Presence, noted

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def client() -> Iterator[SyncPrefectClient]:
    """A client of a server of this module."""
    with prefect_test_harness(server_startup_timeout=120), get_client(sync_client=True) as made:
        yield made


@flow(name="lost")
def lost() -> None:
    """Stands for a release."""


def _running(client: SyncPrefectClient) -> UUID:
    return client.create_flow_run(lost, state=Running()).id


def _note(home: Path, run: UUID, **changes: object) -> Path:
    """The note of a run whose process is gone, unless changed."""
    with noted(home, str(run)):
        path = home / FOLDER / f"{run}.json"
        presence = Presence.model_validate_json(path.read_bytes())
    path.write_text(presence.model_copy(update=changes).model_dump_json())
    return path


def _state(client: SyncPrefectClient, run: UUID) -> str | None:
    return client.read_flow_run(run).state_name


def test_a_lost_run_is_scheduled_again(client: SyncPrefectClient, tmp_path: Path) -> None:
    """A run whose process is gone waits for its next try, and its note is gone; once."""
    run = _running(client)
    note = _note(tmp_path, run, pid=2**22 + 1)
    assert settle(tmp_path, client) == [f"{client.read_flow_run(run).name}: AwaitingRetry"]
    assert client.read_flow_run(run).state_type is StateType.SCHEDULED
    assert not note.exists()
    assert settle(tmp_path, client) == []


def test_others_and_ended_runs_are_left_alone(client: SyncPrefectClient, tmp_path: Path) -> None:
    """A note of another host stays; one of a run at its end, or of none, only goes."""
    elsewhere, ended, unknown = _running(client), _running(client), uuid4()
    kept = _note(tmp_path, elsewhere, host="elsewhere", pid=2**22 + 1)
    client.set_flow_run_state(ended, Completed(), force=True)
    gone = [_note(tmp_path, run, pid=2**22 + 1) for run in (ended, unknown)]
    assert settle(tmp_path, client) == []
    assert (_state(client, elsewhere), _state(client, ended)) == ("Running", "Completed")
    assert kept.exists()
    assert not any(path.exists() for path in gone)


@pytest.mark.parametrize("above", ["worker", "nobody"])
def test_a_live_run_has_a_worker_above_it(
    above: str, client: SyncPrefectClient, tmp_path: Path
) -> None:
    """Under a worker it is left alone; without one it is ended, and scheduled again."""
    run = _running(client)
    child = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'input()'])"
    env = os.environ | {RUN_ID: str(run)}
    with subprocess.Popen(
        [sys.executable, "-c", child, above], env=env, stdin=subprocess.PIPE
    ) as parent:
        pid = _only_child(parent.pid)
        _note(tmp_path, run, pid=pid)
        settled = settle(tmp_path, client)
        parent.communicate(b"\n", timeout=10)
    assert bool(settled) == (above == "nobody")
    assert (_state(client, run) == "Running") == (above == "worker")


def _only_child(pid: int) -> int:
    import psutil

    while True:
        children = psutil.Process(pid).children()
        if children:
            return children[0].pid
