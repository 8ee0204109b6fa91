"""One look at everything on the watch list. Nothing is written: findings say what to do, and why.

The Hub is asked as little as possible: the head commit of each base (of an author's models in one
list), and a commit's files only when that commit was not seen before. Once the Hub does not answer,
although its client waited and tried again, it is not asked for the rest of the look.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, time
from fnmatch import fnmatchcase

from tasks.clients.hub import Hub
from tasks.core.errors import HubUnavailable, PermanentError
from tasks.core.progress import Reporter
from tasks.watch.decide import Decision, Making, decide
from tasks.watch.fingerprint import Fingerprint, fingerprint
from tasks.watch.orders import Finding, Known, Order
from tasks.watch.states import States
from tasks.watch.watchlist import Author, Base, WatchList


def look(
    watch_list: WatchList, *, hub: Hub, states: States, engine: str, reporter: Reporter
) -> list[Finding]:
    """Look at every base once.

    Args:
        watch_list: what is watched.
        hub: where the bases are.
        states: what is known of the targets.
        engine: serving engine and version; empty where it is not known.
        reporter: is told each finding.

    Raises:
        IntegrityError: a state cannot be read.
        StoreError, StoreUnavailable: S3 refused or did not answer.
    """
    found = []
    for finding in _Look(watch_list, hub, states, engine).findings():
        reporter.note(f"{finding.base}: {finding.action}, since {finding.reason}")
        found.append(finding)
    return found


class _Look:
    def __init__(self, watch_list: WatchList, hub: Hub, states: States, engine: str) -> None:
        self._list, self._hub, self._states, self._engine = watch_list, hub, states, engine
        self._silent = ""

    def findings(self) -> Iterator[Finding]:
        for base in self._list.bases:
            yield self._finding(base)
        single = {base.repo for base in self._list.bases}
        for author in self._list.authors:
            yield from self._of_author(author, single)

    def _of_author(self, author: Author, single: set[str]) -> Iterator[Finding]:
        since = datetime.combine(author.since, time(), UTC)
        try:
            self._refuse_if_silent()
            listed = self._hub.models_since(author.author, since)
        except (HubUnavailable, PermanentError) as error:
            yield self._unseen(author.author, author.target, error)
            return
        for model in listed:
            name = model.repo.partition("/")[2]
            skipped = model.repo in single or self._list.is_target(model.repo)
            if not skipped and fnmatchcase(name, author.names):
                yield self._finding(author.base(model.repo), model.commit)

    def _finding(self, base: Base, head: str = "") -> Finding:
        known = self._states.read(base.repo, base.target)
        order = known.state.order
        common = {"base": base.repo, "target": base.target, "known": known}
        if order and order.status == "ordered":
            reason = f"a release is on its way, ordered because {order.reason}"
            return Finding(**common, action="wait", reason=reason, order=order)
        try:
            seen = self._seen(base, known, head)
        except (HubUnavailable, PermanentError) as error:
            return self._unseen(base.repo, base.target, error)
        return Finding(**common, seen=seen, **self._judged(base, known, seen))

    def _seen(self, base: Base, known: Known, head: str) -> Fingerprint:
        self._refuse_if_silent()
        commit = head or self._hub.resolve(base.repo, base.revision)
        if known.state.seen and known.state.seen.commit == commit:
            return known.state.seen
        return fingerprint(commit, self._hub.files(base.repo, commit))

    def _judged(self, base: Base, known: Known, seen: Fingerprint) -> dict[str, object]:
        """Action, reason and order of a base that was seen."""
        now = Making.of(seen, base.load(), self._engine)
        last, released = known.state.order, known.state.released
        decision = decide(released.making if released else None, now)
        if decision.action == "nothing":
            return decision.model_dump()
        if last and last.status == "failed" and decide(last.making, now).action == "nothing":
            reason = f"its release failed and nothing changed since: {last.outcome}"
            return {"action": "stuck", "reason": reason, "order": last}
        archive = released.archive if released and decision.action != "requantize" else ""
        if decision.action != "requantize" and not self._states.archived(archive):
            gone = f"{decision.reason}; the archive {archive} is gone, so the weights are made anew"
            decision, archive = Decision(action="requantize", reason=gone), ""
        return decision.model_dump() | {"order": _order(base, decision, now, archive)}

    def _refuse_if_silent(self) -> None:
        if self._silent:
            raise HubUnavailable(f"not asked, since {self._silent}")

    def _unseen(self, base: str, target: str, error: HubUnavailable | PermanentError) -> Finding:
        if isinstance(error, HubUnavailable):
            self._silent = self._silent or error.what
        return Finding(base=base, target=target, action="unseen", reason=str(error))


def _order(base: Base, decision: Decision, making: Making, archive: str) -> Order:
    parameters = {
        "base": base.repo,
        "target": base.target,
        "revision": making.base.commit,
        **base.choice(),
        **({"reuse": archive} if archive else {}),
    }
    return Order(
        action=decision.action, reason=decision.reason, making=making, parameters=parameters
    )
