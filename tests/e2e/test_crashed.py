"""A release whose machine died is taken up by the server's own automation."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Cancelled, Crashed, Scheduled

from flows.follow import DEPLOYMENT
from tests.e2e.house import House, wait_for

pytestmark = pytest.mark.e2e
LATER = timedelta(hours=1)
SECONDS = 60


def test_a_crashed_release_is_scheduled_again(house: House) -> None:
    """Called crashed, a release waits for its next try within seconds; it is the same run."""
    parameters = {"base": "roundhouse/nowhere", "target": "roundhouse/crashed"}
    with (
        temporary_settings({PREFECT_API_URL: house.env["PREFECT_API_URL"]}),
        get_client(sync_client=True) as client,
    ):
        deployment = client.read_deployment_by_name(DEPLOYMENT)
        later: State[Any] = Scheduled(scheduled_time=datetime.now(UTC) + LATER)
        run = client.create_flow_run_from_deployment(
            deployment.id, parameters=parameters, state=later
        )
        client.set_flow_run_state(run.id, Crashed(message="Its machine died."), force=True)

        def taken_up() -> FlowRun | None:
            seen = client.read_flow_run(run.id)
            return None if seen.state is None or seen.state.is_crashed() else seen

        seen = wait_for("its next try", taken_up, SECONDS)
        assert seen.state is not None
        client.set_flow_run_state(run.id, Cancelled(), force=True)
    assert seen.state_name in {"AwaitingRetry", "Pending", "Running", "Failed"}
