"""The scheduled restore: its deployment, its schedule, a worker, the stack's S3."""

from pathlib import Path

import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId
from prefect.client.schemas.objects import FlowRun

from flows.artifacts import newest_first
from flows.rehearse import ARTIFACT, NAME
from infra.local.layout import Layout
from infra.local.prefect_client import client_of
from tasks.clients.s3 import Store
from tasks.core.settings import Settings
from tests.archived_case import Case
from tests.conftest import Keys
from tests.e2e.house import House, wait_for
from tests.finished_stages import finish_stages, randomly

pytestmark = pytest.mark.e2e
SECONDS = 180.0


def _archived(house: House, home: Path) -> str:
    """A release in the stack's archive, signed with the stack's key."""
    layout = Layout.of(house.home)
    keys = Keys(layout.signing_key, layout.verify_key)
    settings = Settings.model_validate(
        {
            "s3_endpoint": house.env["AWS_ENDPOINT_URL_S3"],
            "s3_access_key": house.env["AWS_ACCESS_KEY_ID"],
            "s3_secret_key": house.env["AWS_SECRET_ACCESS_KEY"],
            "signing_key": layout.signing_key,
        }
    )
    sources = finish_stages(home, randomly("acme/rehearsed"))
    case = Case.of(sources, Store.from_settings(settings), settings, home, keys)
    return case.run().uri


def _ended(client: SyncPrefectClient) -> FlowRun | None:
    """A run that ended by itself; one that came while another ran is cancelled, as it should be."""
    deployment = client.read_deployment_by_name(NAME)
    only = DeploymentFilter(id=DeploymentFilterId(any_=[deployment.id]))
    runs = client.read_flow_runs(deployment_filter=only)
    ended = (run for run in runs if run.state and run.state.is_final())
    return next((run for run in ended if run.state and not run.state.is_cancelled()), None)


def test_the_schedule_restores_the_newest_release(house: House, tmp_path: Path) -> None:
    """Resumed, the schedule makes a run; a worker brings the release back, verifies, removes it."""
    uri = _archived(house, tmp_path / "home")
    assert house.roundhouse("rehearse", "--every", "10").status == 0
    with client_of(house.env) as client:
        try:
            run = wait_for("a restore", lambda: _ended(client), SECONDS)
        finally:
            assert house.roundhouse("rehearse", "--every", "0").status == 0
        assert run.state is not None
        assert run.state.is_completed(), run.state.message
        (left,) = newest_first(client, [run.id], ARTIFACT)
    assert uri in str(left.data)
    assert not (house.home / "rehearsal").exists()
