"""A lease in S3: who makes a stage now, so that two machines do not both quantize for an hour.

The lease is a small object that its holder writes anew every few seconds, each time on top of what
it wrote before (`If-Match`). One that was not written for longer than it holds belongs to somebody
who died, and is taken over. Nothing depends on it but time: a stage is published with a condition
of its own (`tasks.clients.shared_workspace`), so that one making holds whoever held a lease.
"""

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from tasks.clients.s3_state import Kept
from tasks.clients.shared_store import Aged, SharedStore
from tasks.core.digest import canonical_json
from tasks.core.errors import RoundhouseError
from tasks.core.progress import Reporter

LEASE = ".lease"


@dataclass(frozen=True)
class Pace:
    """Seconds.

    Attributes:
        holds: how long a lease holds after it was written.
        renew: how often it is written anew.
        poll: how often somebody who waits looks.
    """

    holds: float = 60.0
    renew: float = 12.0
    poll: float = 2.0


class Leases:
    """The leases that one home takes.

    Args:
        store: where they are.
        home: name of the home; what it left behind it may take at once, since within a home a file
            lock keeps others away.
        reporter: is told of waiting.
        pace: how long they hold.
    """

    def __init__(self, store: SharedStore, home: str, reporter: Reporter, pace: Pace) -> None:
        self._store = store
        self._home = home
        self._reporter = reporter
        self._pace = pace

    @contextmanager
    def held(self, uri: str, what: str) -> Iterator[None]:
        """Hold a lease; waits while another home holds it.

        Args:
            uri: address of the lease.
            what: is made under it, for people.

        Raises:
            StoreError, StoreUnavailable: S3 refused or did not answer.
        """
        renewal = _Renewal(self._store, uri, self._content(), self._take(uri, what), self._pace)
        renewal.start()
        try:
            yield
        finally:
            renewal.end(self._reporter, what)

    def _content(self) -> dict[str, Any]:
        return {"home": self._home, "host": socket.gethostname(), "claim": uuid4().hex}

    def _take(self, uri: str, what: str) -> Kept:
        told = False
        while True:
            there = self._store.look_aged(uri)
            if there is None or self._free(there):
                before = there.kept.etag if there else ""
                ours = self._store.change(uri, canonical_json(self._content()), before)
                if ours is not None:
                    return ours
            elif not told:
                told = True
                host = _read(there).get("host", "another machine")
                self._reporter.note(f"{what} is being made on {host}; waiting for it")
            time.sleep(self._pace.poll)

    def _free(self, there: Aged) -> bool:
        return there.age > self._pace.holds or _read(there).get("home") == self._home


class _Renewal(threading.Thread):
    """Writes a lease anew until it is told to end."""

    def __init__(
        self, store: SharedStore, uri: str, content: dict[str, Any], kept: Kept, pace: Pace
    ) -> None:
        super().__init__(name=f"renew {uri}", daemon=True)
        self._store = store
        self._uri = uri
        self._content = content
        self._kept = kept
        self._pace = pace
        self._over = threading.Event()
        self._lost = False

    def run(self) -> None:
        """Renew; a server that is away for a while ends nothing."""
        count = 0
        while not self._over.wait(self._pace.renew):
            count += 1
            data = canonical_json(self._content | {"renewed": count})
            with suppress(RoundhouseError):
                kept = self._store.change(self._uri, data, self._kept.etag)
                if kept is None:
                    self._lost = True
                    return
                self._kept = kept

    def end(self, reporter: Reporter, what: str) -> None:
        """Stop renewing and give the lease back."""
        self._over.set()
        self.join()
        if self._lost:
            reporter.note(
                f"{what} took so long between two signs of life that another machine "
                "began it too; what is published first holds"
            )
            return
        with suppress(RoundhouseError):  # it ends by itself
            self._store.delete(self._uri, self._kept.etag)


def _read(there: Aged) -> dict[str, Any]:
    try:
        content = json.loads(there.kept.data)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}
