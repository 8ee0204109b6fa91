"""Orders the releases that findings ask for, and notes what became of them.

An order is first written to the target's state in S3, conditionally, and then submitted under a key
that follows from its content. So of two watchers one orders; and if that one dies in between, the
next look submits the same order, which makes the one run or finds it. What became of a run is noted
at a later look.
"""

import logging

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import FlowRun

from flows import artifacts
from flows.follow import submit
from flows.remote import read_failure
from flows.summary import SUMMARY_KEY, Summary
from tasks.core.errors import InputError
from tasks.watch.orders import ATTEMPTS, Finding, Known, Order, Released, State
from tasks.watch.states import States

Log = logging.Logger | logging.LoggerAdapter[logging.Logger]


class Watcher:
    """Does what findings ask for.

    Args:
        client: of the Prefect server.
        states: what is known of the targets.
        log: is told of each order.
    """

    def __init__(self, client: SyncPrefectClient, states: States, log: Log) -> None:
        self._client, self._states, self._log = client, states, log

    def act(self, found: list[Finding]) -> list[Finding]:
        """Order what is due, note what has ended; gives the findings with their orders' runs."""
        return [self._one(finding) for finding in found]

    def _one(self, finding: Finding) -> Finding:
        known, order = finding.known, finding.order
        if known is None:
            return finding
        if finding.action == "wait" and order:
            return self._followed(finding, known, order)
        state = known.state
        if finding.seen:
            state = state.model_copy(update={"seen": finding.seen})
        if order and order.status == "ordered":
            return self._ordered(finding, known, state.model_copy(update={"order": order}))
        if state != known.state:
            self._states.write(known, state)
        return finding

    def _ordered(self, finding: Finding, known: Known, state: State) -> Finding:
        claimed = self._states.write(known, state)
        if claimed is None or state.order is None:
            return finding.model_copy(
                update={"action": "wait", "reason": "another watcher ordered its release"}
            )
        self._log.info("%s: %s, since %s", finding.base, finding.action, finding.reason)
        return self._followed(finding, claimed, state.order)

    def _followed(self, finding: Finding, known: Known, order: Order) -> Finding:
        """Submit an order, which finds its run if there is one, and note how that stands."""
        try:
            tags = ("watch", order.action)
            run = submit(self._client, order.parameters, key=order.key, tags=tags)
        except InputError as error:
            state = _failed(known.state, order, f"{error.what}: {error.found}")
        else:
            state = self._standing(known.state, order.model_copy(update={"run": str(run.id)}), run)
        if state != known.state:
            self._states.write(known, state)
        return finding.model_copy(update={"order": state.order})

    def _standing(self, state: State, order: Order, run: FlowRun) -> State:
        """The state after a look at an order's run."""
        if run.state is None or not run.state.is_final():
            return state.model_copy(update={"order": order})
        if run.state.is_completed():
            left = artifacts.newest_first(self._client, [run.id], SUMMARY_KEY)
            summary = Summary.model_validate(artifacts.mapping(left[0]))
            return _released(state, order, summary)
        failure = read_failure(self._client, run.id)
        outcome = (failure.what if failure else run.state.message) or run.state.name or ""
        passing = run.state.is_crashed() or (failure is not None and failure.transient)
        if passing and order.attempt < ATTEMPTS:
            again = {"attempt": order.attempt + 1, "outcome": outcome}
            return state.model_copy(update={"order": order.model_copy(update=again)})
        return _failed(state, order, outcome)


def _released(state: State, order: Order, summary: Summary) -> State:
    released = Released(
        making=order.making,
        release_id=summary.release_id,
        archive=summary.archive,
        revision=summary.hub_revision,
    )
    done = order.model_copy(update={"status": "released", "outcome": ""})
    return state.model_copy(update={"order": done, "released": released})


def _failed(state: State, order: Order, outcome: str) -> State:
    failed = order.model_copy(update={"status": "failed", "outcome": outcome})
    return state.model_copy(update={"order": failed})
