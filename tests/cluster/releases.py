"""Twelve releases, ordered at once and waited for."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId, FlowRunFilterTags
from prefect.client.schemas.objects import FlowRun

from flows import artifacts
from flows.follow import submit
from flows.summary import SUMMARY_KEY, Summary
from infra.local.seed import MODEL

POLL_SECONDS = 1.0
RECIPE, CHANGES = "light", {"tuning.tuner": "fused", "tuning.iters": 1}
"""One step of ours costs a tenth of what AutoRound's search does that `iters: 0` stands for."""


@dataclass(frozen=True)
class Order:
    """One release of a round.

    Attributes:
        target: its repository, of the round alone.
        parameters: of the release flow.
    """

    target: str
    parameters: dict[str, Any]


@dataclass(frozen=True)
class Outcome:
    """What became of a round's orders.

    Attributes:
        seconds: from the first order to the last end.
        states: name of the state that each target's run ended in.
        summaries: of those that were completed.
    """

    seconds: float
    states: dict[str, str]
    summaries: dict[str, Summary]


def orders(name: str, count: int) -> list[Order]:
    """The releases of a round; the n-th of every round is the same, and differs by its seed."""
    return [
        _order(f"roundhouse/{name}-{number:02}", CHANGES | {"tuning.seed": number})
        for number in range(1, count + 1)
    ]


def _order(target: str, changes: dict[str, Any]) -> Order:
    parameters = {"base": MODEL, "target": target, "recipe": RECIPE, "changes": changes}
    return Order(target, parameters)


def make(
    client: SyncPrefectClient,
    ordered: list[Order],
    tag: str,
    seconds: float,
    meanwhile: Callable[[], None] = lambda: None,
) -> Outcome:
    """Order all at once and wait for their ends.

    Args:
        client: of the Prefect server.
        ordered: what is made.
        tag: of the runs, and the beginning of their keys.
        seconds: how long it may take.
        meanwhile: called at every look.

    Raises:
        AssertionError: a run did not end in time.
    """
    started = time.monotonic()
    runs = {
        submit(client, each.parameters, key=f"{tag}-{each.target}", tags=(tag,)).id: each.target
        for each in ordered
    }
    while True:
        found = _read(client, list(runs))
        if all(map(_is_over, found)):
            break
        standing = [f"{runs[run.id]}: {run.state_name}" for run in found]
        assert time.monotonic() - started < seconds, "\n".join(standing)
        meanwhile()
        time.sleep(POLL_SECONDS)
    took = time.monotonic() - started
    states = {runs[run.id]: run.state_name or "" for run in found}
    summaries = {runs[run.id]: _summary(client, run) for run in found if _completed(run)}
    return Outcome(took, states, summaries)


def _is_over(run: FlowRun) -> bool:
    """Whether a run is at its end; one that crashed is taken up again."""
    return run.state is not None and run.state.is_final() and not run.state.is_crashed()


def _completed(run: FlowRun) -> bool:
    return run.state is not None and run.state.is_completed()


def _read(client: SyncPrefectClient, ids: list[UUID]) -> list[FlowRun]:
    return client.read_flow_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=ids)))


def tagged(client: SyncPrefectClient, tag: str) -> list[FlowRun]:
    """The runs of a round's releases."""
    return client.read_flow_runs(flow_run_filter=FlowRunFilter(tags=FlowRunFilterTags(all_=[tag])))


def _summary(client: SyncPrefectClient, run: FlowRun) -> Summary:
    left = artifacts.newest_first(client, [run.id], SUMMARY_KEY)
    return Summary.model_validate(artifacts.mapping(left[0]))
