"""Runs that are ordered and led, on a real Prefect server with the project's own deployments."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from prefect import flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.testing.utilities import prefect_test_harness

from flows import remote
from flows.follow import submit
from infra.bootstrap import bootstrap, deploy
from tasks.core.priority import Priority

pytestmark = pytest.mark.e2e
WATCH = "watch/default"


@pytest.fixture(scope="module")
def client() -> Iterator[SyncPrefectClient]:
    """A client of a server that was made ready as for a cluster."""
    with (
        prefect_test_harness(server_startup_timeout=120),
        get_client(sync_client=True) as made,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("PREFECT_API_URL", str(made.api_url))
        bootstrap("process", 1, {})
        deploy()
        yield made


def test_queues_are_emptied_in_their_order(client: SyncPrefectClient) -> None:
    """Each pool has the queues high, default and low; bootstrap twice changes nothing."""
    bootstrap("process", 1, {})
    for pool in ("cpu", "gpu"):
        queues = client.read_work_queues(work_pool_name=pool)
        ordered = sorted(queues, key=lambda queue: queue.priority or 0)
        assert [queue.name for queue in ordered] == [priority.value for priority in Priority]
        assert [queue.priority for queue in ordered] == [1, 2, 3]


def test_the_urgent_run_is_given_out_first(client: SyncPrefectClient) -> None:
    """Of three runs, ordered from the least urgent on, a worker is given the most urgent first."""
    runs = {
        priority: submit(
            client, {"base": "acme/base", "target": f"acme/{priority.value}"}, priority=priority
        )
        for priority in reversed(Priority)
    }
    answer = client.request(
        "POST",
        "/work_pools/{name}/get_scheduled_flow_runs",
        path_params={"name": "cpu"},
        json={"limit": 3},
    )
    given = [entry["flow_run"]["id"] for entry in answer.json()]
    assert given == [str(runs[priority].id) for priority in Priority]


@flow
def _leader(started: dict[str, Any], asked: list[tuple[str, dict[str, Any]]]) -> list[UUID | None]:
    """Starts a look of the watcher as a release starts a stage; then asks for its children."""
    with get_client(sync_client=True) as client:
        remote._start(client, WATCH, started)
        return [remote.child_of(client, *each) for each in asked]


def test_a_release_finds_the_child_that_it_started(client: SyncPrefectClient) -> None:
    """Its own live child of these files, and none of other ones, of another stage or release."""
    first, other_stage = _leader({}, [(WATCH, {}), ("validate/gpu", {})])
    assert first is not None
    assert other_stage is None
    second, other_files = _leader({}, [(WATCH, {}), (WATCH, {"convert": {"files": ["a"]}})])
    assert second not in {None, first}
    assert other_files is None
