"""A process worker that first settles the runs which its predecessor on this machine lost.

    python -m infra.worker --pool gpu --limit 1

Arguments are those of `prefect worker start`. A worker that is killed takes its runs along, or
leaves them without a log. The server learns of it by missing heartbeats, after minutes; whoever
starts the worker again can look at once.
"""

import contextlib
import os
import sys
from pathlib import Path
from uuid import UUID

import psutil
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.exceptions import ObjectNotFound

from infra.local.orphans import RUN_ID, fate
from infra.local.workers import COMMAND
from tasks.core.presence import Presence, left
from tasks.core.settings import Settings


def settle(home: Path, client: SyncPrefectClient) -> list[str]:
    """Say of lost runs that they crashed, or schedule them again; end what is left of them.

    Args:
        home: root of this machine's workspaces, with the notes of its runs.
        client: of the Prefect server.

    Returns:
        One line for each run that was settled.
    """
    lost = [presence for presence in left(home) if not _lives(presence)]
    settled = [_settled(presence, client) for presence in lost if _claimed(presence, home)]
    return [line for line in settled if line]


def _claimed(presence: Presence, home: Path) -> bool:
    """Whether this process is the one to settle a run: two workers may start at once."""
    try:
        presence.path(home).unlink()
    except FileNotFoundError:
        return False
    return True


def _settled(presence: Presence, client: SyncPrefectClient) -> str:
    """What became of a run; empty if it was at its end."""
    with contextlib.suppress(psutil.NoSuchProcess):
        if _is_its_process(presence):
            psutil.Process(presence.pid).kill()
    try:
        run = client.read_flow_run(UUID(presence.run))
    except ObjectNotFound:
        return ""
    if run.state is None or not (run.state.is_running() or run.state.is_cancelling()):
        return ""
    state = fate(run)
    client.set_flow_run_state(run.id, state, force=True)
    return f"{run.name}: {state.name}"


def _lives(presence: Presence) -> bool:
    """Whether a run's process is there, and a worker above it."""
    with contextlib.suppress(psutil.Error):
        above = psutil.Process(presence.pid).parents()
        return _is_its_process(presence) and any("worker" in p.cmdline() for p in above)
    return False


def _is_its_process(presence: Presence) -> bool:
    """Whether the process of that id is the run's, and not another one that was given it since."""
    return psutil.Process(presence.pid).environ().get(RUN_ID) == presence.run


def main() -> None:
    """Settle, and become the worker; a server that is down does not keep it from starting."""
    try:
        with get_client(sync_client=True) as client:
            settled = settle(Settings().home, client)
    except Exception as error:  # noqa: BLE001 - heartbeats will tell
        settled = [f"runs that were lost here are not known: {error}"]
    for line in settled:
        print(line, flush=True)  # noqa: T201 - its log is its stdout
    command = [*COMMAND, *sys.argv[1:]]
    os.execv(command[0], command)  # noqa: S606 - an argument list


if __name__ == "__main__":
    main()
