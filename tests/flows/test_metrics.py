"""What Prometheus is told of the gate's verdicts, read from a Prefect server."""

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.testing.utilities import prefect_test_harness
from prometheus_client import CollectorRegistry

from flows.metrics import Releases
from tasks.core.errors import CheckFailed, Damaged, RoundhouseError
from tasks.orchestration import failures_told


@flow(name="release")
def _fails(error: RoundhouseError) -> None:
    with failures_told():
        raise error


def test_verdicts_are_read_from_their_field() -> None:
    """A refusal counts by its verdict, however it is worded; words alone are no verdict."""
    worded = "demo-1 must not leave: ANOMALOUS"
    errors = (
        Damaged("anything at all", verdict="REGRESSION"),
        CheckFailed(worded, verdict="INFEASIBLE"),
        CheckFailed(worded),
    )
    with prefect_test_harness(server_startup_timeout=120), get_client(sync_client=True) as client:
        for error in errors:
            with pytest.raises(type(error)):
                _fails(error)
        registry = CollectorRegistry()
        registry.register(Releases(client))
        found = {
            sample.labels["verdict"]: sample.value
            for family in registry.collect() if family.name == "roundhouse_verdicts"
            for sample in family.samples
        }  # fmt: skip
    assert found == {"REGRESSION": 1, "INFEASIBLE": 1}
