"""The download stage: the base's files at the planned commit, every one verified.

Shards come several at a time, each going on where a broken attempt stopped. What arrived is
compared with the Hub's own digests (sha256 of LFS files, git object ids of others), and the
checkpoint as a whole with its index.
"""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock

from tasks.clients.hub import Hub
from tasks.clients.hub_files import HubFile
from tasks.clients.hub_transfer import PART
from tasks.core.checkpoint import Checkpoint
from tasks.core.manifest import relative_files
from tasks.core.progress import Reporter
from tasks.core.records import DownloadRecord, PlanRecord
from tasks.core.workspace import Workspace
from tasks.core.workspace_shared import Shared
from tasks.download.wanted import left_out, wanted

STAGE = "download"
AT_ONCE = 4
REPORT_SECONDS = 2.0


def run(
    plan: PlanRecord, *, hub: Hub, home: Path, reporter: Reporter, shared: Shared | None = None
) -> DownloadRecord:
    """Download the base, or hand out what was downloaded, verified.

    Args:
        plan: names the base and its commit.
        hub: where it is.
        home: root of the workspaces; releases of one commit share one download.
        reporter: is told how many bytes there are.
        shared: what this machine has in common with others; None for nothing.

    Raises:
        BaseModelError: the base is gone, closed, or has no safetensors weights.
        IntegrityError: files that arrived are not the Hub's, or the checkpoint is not whole.
        HubUnavailable: the Hub did not answer; the next attempt goes on from here.
        ResourceError: the disk is full.
    """

    def make(folder: Path) -> dict[str, object]:
        files = hub.files(plan.base, plan.commit)
        shards = hub.weight_shards(plan.base, plan.commit, files)
        chosen = wanted(plan.base, files, shards)
        if dangerous := left_out(files):
            reporter.note(f"not downloaded, since they can run code: {', '.join(dangerous)}")
        paths = {file.path for file in chosen}
        _clear(folder, paths | {path + PART for path in paths})
        _fetch(plan, chosen, folder, hub, reporter)
        _clear(folder, paths)
        Checkpoint(folder)
        reporter.update(1.0, f"{plan.base} is here and whole")
        return {"base": plan.base, "commit": plan.commit}

    inputs = {"base": plan.base, "commit": plan.commit}
    workspace = Workspace.of_base(home, plan.base, plan.commit, shared)
    return workspace.run(STAGE, DownloadRecord, inputs, make)


def _fetch(
    plan: PlanRecord, files: list[HubFile], folder: Path, hub: Hub, reporter: Reporter
) -> None:
    """Bring all files, the largest first; the first failure ends it and leaves what is there."""
    counter = _Counter(sum(file.size for file in files), reporter)
    largest_first = sorted(files, key=lambda file: -file.size)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        running = [
            pool.submit(hub.fetch, plan.base, plan.commit, file, folder, on_bytes=counter.add)
            for file in largest_first
        ]
        try:
            for future in running:
                future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


class _Counter:
    """Adds up bytes of several threads and reports them every two seconds."""

    def __init__(
        self, total: int, reporter: Reporter, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._total = max(total, 1)
        self._reporter = reporter
        self._clock = clock
        self._lock = Lock()
        self._done = 0
        self._reported = clock()

    def add(self, count: int) -> None:
        """Take note of bytes that came (or, negative, had to be thrown away)."""
        with self._lock:
            self._done += count
            now = self._clock()
            if now - self._reported < REPORT_SECONDS:
                return
            self._reported = now
            megabytes = f"{self._done / 1e6:,.0f} of {self._total / 1e6:,.0f} MB"
            self._reporter.update(self._done / self._total, f"downloading: {megabytes}")


def _clear(folder: Path, keep: set[str]) -> None:
    """Remove what an earlier attempt left and this one does not want."""
    for path in relative_files(folder):
        if path not in keep:
            (folder / path).unlink()
