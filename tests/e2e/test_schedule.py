"""When the watcher looks: set by a person, kept when the project is deployed anew."""

import json
from datetime import timedelta

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.schedules import IntervalSchedule
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.looking import NAME, SCHEDULE
from infra.local.deploy import deploy
from infra.local.layout import ROOT, Layout
from tests.e2e.house import House

pytestmark = pytest.mark.e2e


def _schedule(house: House) -> tuple[bool, timedelta]:
    """Whether it is active, and how often."""
    with (
        temporary_settings({PREFECT_API_URL: house.env["PREFECT_API_URL"]}),
        get_client(sync_client=True) as client,
    ):
        (found,) = client.read_deployment_by_name(NAME).schedules
    assert found.slug == SCHEDULE
    assert isinstance(found.schedule, IntervalSchedule)
    return found.active, found.schedule.interval


def test_the_schedule_stays_as_it_was_set(house: House) -> None:
    """Resumed and set to 5,000 s, it is so after a new deployment; then it can be paused."""
    resumed = (True, timedelta(seconds=5000))
    assert house.roundhouse("watch", "--every", "5000").status == 0
    assert _schedule(house) == resumed
    layout = Layout.of(house.home)
    stamp = layout.root / "deployed.json"
    stamp.write_text(json.dumps(json.loads(stamp.read_text()) | {"digest": "an older one"}))
    assert NAME in deploy(layout, house.env, ROOT)
    assert _schedule(house) == resumed
    assert house.roundhouse("watch", "--every", "0").status == 0
    assert _schedule(house) == (False, timedelta(seconds=5000))


def test_without_a_list_the_look_says_where_to_write_one(house: House) -> None:
    """`--once` without a watch list ends with 2 and names file and setting."""
    listed = house.home / "watch.yaml"
    kept = listed.read_bytes() if listed.is_file() else None
    listed.unlink(missing_ok=True)
    said = house.roundhouse("watch", "--once")
    if kept is not None:
        listed.write_bytes(kept)
    assert said.status == 2
    assert str(listed) in said.err
