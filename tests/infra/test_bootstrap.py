"""Bootstrap on a real Prefect server."""

from collections.abc import Iterator
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.testing.utilities import prefect_test_harness

from infra.bootstrap import bootstrap, template

pytestmark = pytest.mark.e2e
IMAGES = {"gpu": "registry/roundhouse-gpu-worker:1"}


@pytest.fixture(scope="module")
def server() -> Iterator[None]:
    """A Prefect server of this module."""
    with prefect_test_harness(server_startup_timeout=120):
        yield


def _state() -> dict[str, Any]:
    with get_client(sync_client=True) as client:
        pools = {pool.name: pool for pool in client.read_work_pools()}
        automations = client.read_automations_by_name("Crash zombie flow runs")
    return {name: pool.model_dump() for name, pool in pools.items()} | {"automations": automations}


def test_twice_is_once(server: None) -> None:
    """A second run changes nothing, not even a time; pools have their templates and limits."""
    bootstrap("kubernetes", 2, IMAGES)
    first = _state()
    bootstrap("kubernetes", 2, IMAGES)
    assert _state() == first
    assert first["gpu"]["type"] == "kubernetes"
    assert first["gpu"]["concurrency_limit"] == 2
    assert first["gpu"]["base_job_template"] == template("gpu", "kubernetes", IMAGES["gpu"])
    assert first["cpu"]["concurrency_limit"] is None
    assert len(first["automations"]) == 1


def test_what_somebody_changed_is_put_back(server: None) -> None:
    """A limit that differs from what is asked for is changed, and nothing else is."""
    bootstrap("kubernetes", 2, IMAGES)
    before = _state()
    bootstrap("kubernetes", 4, IMAGES)
    after = _state()
    assert after["gpu"]["concurrency_limit"] == 4
    assert after["cpu"] == before["cpu"]
    assert after["automations"] == before["automations"]
