"""What the watcher makes of findings, on a real Prefect server and S3; no run gets a worker."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolUpdate
from prefect.client.schemas.objects import FlowRun
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Cancelled, Crashed

from flows.watcher import Watcher
from infra.local.crashed import crashed_releases
from tasks.core.settings import Settings
from tasks.watch.decide import Making
from tasks.watch.fingerprint import Fingerprint
from tasks.watch.orders import ATTEMPTS, Finding, Order
from tasks.watch.states import States
from tests.e2e.house import House

pytestmark = pytest.mark.e2e
SEEN = Fingerprint(commit="a" * 40, weights="w", behaviour="b")
MAKING = Making(base=SEEN, shaping="s", judging="j", engine="v1")


@dataclass
class Case:
    """A watcher, and one base of which it is told."""

    client: SyncPrefectClient
    states: States
    target: str

    @property
    def watcher(self) -> Watcher:
        """A watcher; each is another."""
        return Watcher(self.client, self.states, logging.getLogger(__name__))

    def finding(self, **parameters: Any) -> Finding:
        """What a look finds of the base now."""
        known = self.states.read("roundhouse/nowhere", self.target)
        given = {"base": known.state.base, "target": self.target} | parameters
        order = known.state.order or Order(
            action="requantize", reason="it is new", making=MAKING, parameters=given
        )
        waits = known.state.order is not None
        return Finding(
            base=known.state.base,
            target=self.target,
            action="wait" if waits else "requantize",
            reason="it is new",
            seen=None if waits else SEEN,
            known=known,
            order=order,
        )

    def run(self, finding: Finding) -> FlowRun:
        """The run of a finding's order."""
        assert finding.order is not None
        return self.client.read_flow_run(UUID(finding.order.run))

    @property
    def order(self) -> Order:
        """The order as it is kept."""
        kept = self.states.of_target(self.target).state.order
        assert kept is not None
        return kept


@pytest.fixture
def case(house: House) -> Iterator[Case]:
    """The pool of releases rests while the test lasts."""
    settings = Settings.model_validate(
        {
            "s3_endpoint": house.env["AWS_ENDPOINT_URL_S3"],
            "s3_access_key": house.env["AWS_ACCESS_KEY_ID"],
            "s3_secret_key": house.env["AWS_SECRET_ACCESS_KEY"],
            "archive": f"s3://artifacts/{uuid4().hex}",
        }
    )
    with (
        temporary_settings({PREFECT_API_URL: house.env["PREFECT_API_URL"]}),
        get_client(sync_client=True) as client,
    ):
        made = Case(client, States.from_settings(settings), f"roundhouse/{uuid4().hex}")
        client.update_work_pool("cpu", WorkPoolUpdate(is_paused=True))
        try:
            yield made
        finally:
            for automation in client.read_automations_by_name(crashed_releases().name):
                client.resume_automation(automation.id)
            kept = made.states.of_target(made.target).state.order
            if kept and kept.run:
                client.set_flow_run_state(UUID(kept.run), Cancelled(), force=True)
            client.update_work_pool("cpu", WorkPoolUpdate(is_paused=False))


def test_two_watchers_of_one_finding_make_one_run(case: Case) -> None:
    """The first orders; the second, which saw the same, comes late; a later look finds the run."""
    seen = case.finding()
    (first,) = case.watcher.act([seen])
    (second,) = case.watcher.act([seen])
    (later,) = case.watcher.act([case.finding()])
    assert (second.action, second.reason) == ("wait", "another watcher ordered its release")
    assert case.run(first).id == case.run(later).id
    assert case.run(first).parameters["target"] == case.target


def test_an_order_whose_watcher_died_is_submitted_later(case: Case) -> None:
    """Written and not submitted, it becomes the one run at the next look, whoever looks."""
    seen = case.finding()
    assert seen.known is not None
    state = seen.known.state.model_copy(update={"order": seen.order})
    assert case.states.write(seen.known, state)
    (first,) = case.watcher.act([case.finding()])
    (again,) = case.watcher.act([case.finding()])
    assert case.run(first).id == case.run(again).id


def test_a_crash_is_tried_again_and_given_up(case: Case) -> None:
    """Each crash makes another run; after the last attempt the order has failed.

    The server's automation, which takes a crashed run up by itself, rests meanwhile.
    """
    runs = set()
    for automation in case.client.read_automations_by_name(crashed_releases().name):
        case.client.pause_automation(automation.id)
    (found,) = case.watcher.act([case.finding()])
    for attempt in range(1, ATTEMPTS + 1):
        assert case.order.attempt == attempt
        runs.add(case.run(found).id)
        case.client.set_flow_run_state(case.run(found).id, Crashed(message="gone"), force=True)
        case.watcher.act([case.finding()])
        if attempt < ATTEMPTS:
            (found,) = case.watcher.act([case.finding()])
    assert len(runs) == ATTEMPTS
    assert (case.order.status, case.order.outcome) == ("failed", "gone")


def test_a_canceled_release_is_not_repeated(case: Case) -> None:
    """What a person cancels has failed for good."""
    (found,) = case.watcher.act([case.finding()])
    case.client.set_flow_run_state(case.run(found).id, Cancelled(), force=True)
    case.watcher.act([case.finding()])
    assert case.order.status == "failed"


def test_parameters_that_are_refused_fail_the_order(case: Case) -> None:
    """What the release's form refuses makes no run, and the reason is kept."""
    case.watcher.act([case.finding(base="no repository")])
    assert case.order.status == "failed"
    assert "no repository" in case.order.outcome
