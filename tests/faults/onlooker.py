"""Somebody who looks at a repository all the time, and sees only nothing or the whole of it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from tasks.core.published import is_git_own
from tests.faults.stand import Stand

LOOK_SECONDS = 0.25
HIDDEN = {401, 403, 404}
TIMEOUT_SECONDS = 5.0


class Onlooker:
    """Looks at a target, past the proxy, with and without a token.

    Args:
        stand: the stack.
        target: the repository.
        whole: paths of a release.
        foreign: paths that somebody else may have put there.
    """

    def __init__(self, stand: Stand, target: str, whole: set[str], foreign: set[str]) -> None:
        self._url = f"{stand.settings.hub_endpoint}/api/models/{target}"
        self._token = stand.settings.hub_token.get_secret_value()
        self._whole, self._foreign = whole, foreign
        self._ends = threading.Event()
        self.seen: list[str] = []
        self.looks = 0

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Look until the end."""
        thread = threading.Thread(target=self._look_on)
        thread.start()
        try:
            yield
        finally:
            self._ends.set()
            thread.join()

    def _look_on(self) -> None:
        with httpx.Client(timeout=TIMEOUT_SECONDS, trust_env=False) as client:
            while not self._ends.wait(LOOK_SECONDS):
                try:
                    self._look(client)
                except httpx.TransportError:
                    continue

    def _look(self, client: httpx.Client) -> None:
        anyone = client.get(self._url)
        if anyone.status_code not in HIDDEN:
            self.seen.append(f"shown to everybody: {anyone.status_code}")
        ours = client.get(self._url, headers={"Authorization": f"Bearer {self._token}"})
        self.looks += 1
        if ours.status_code != httpx.codes.OK:
            return
        files = {file["rfilename"] for file in ours.json()["siblings"]}
        there = {path for path in files if not is_git_own(path)} - self._foreign
        if there and there != self._whole:
            self.seen.append(f"{len(there)} of {len(self._whole)} files: {sorted(there)[:3]}")
