"""Starts pieces of the stack again that died: `python -m infra.local.repair HOME`.

This is what the keeper runs. The runs of a worker that was killed are settled before its successor
starts (`infra.local.orphans`). While `up` or `down` works on the stack nothing is done, and what
`down` stopped is not started again.
"""

import sys
import time
from pathlib import Path

from infra.local import ports as port_choice
from infra.local.credentials import load_or_make
from infra.local.daemon import Daemon
from infra.local.layout import Layout
from infra.local.piece import Piece
from infra.local.start import Parts
from infra.local.workers import WORKER
from tasks.core.errors import RoundhouseError

LOOK_SECONDS = 2.0


def repair(layout: Layout, pieces: tuple[Piece, ...]) -> None:
    """Start dead pieces again, in their order; leaves a stack alone that a command works on."""
    if not any(_dead(layout, piece) for piece in pieces):
        return
    with layout.locked_if_free() as held:
        for piece in pieces:
            if held and _dead(layout, piece):
                _start(layout, piece)


def _dead(layout: Layout, piece: Piece) -> bool:
    """Whether a piece was started and ended by itself."""
    daemon = Daemon(layout, piece.name)
    return daemon.noted is not None and daemon.process is None


def _start(layout: Layout, piece: Piece) -> None:
    print(f"{piece.name} died; starting it", flush=True)  # noqa: T201 - its log is its stdout
    try:
        if piece.name.startswith(WORKER):
            _settle_orphans(layout, piece)
        piece.up(layout)
    except RoundhouseError as error:
        print(error, flush=True)  # noqa: T201 - the same; the next look tries again


def _settle_orphans(layout: Layout, worker: Piece) -> None:
    """Before the worker's successor takes runs, so that none of its own can be meant."""
    from infra.local.orphans import settle
    from infra.local.prefect_client import client_of

    pool = worker.command[worker.command.index("--pool") + 1]
    try:
        with client_of(worker.env) as client:
            settled = settle(layout.home, client, pool)
    except Exception as error:  # noqa: BLE001 - the server may be down too; heartbeats will tell
        settled = [f"runs that died with it were not found: {error}"]
    for line in settled:
        print(line, flush=True)  # noqa: T201 - its log is its stdout


def main(home: Path) -> None:
    """Look every two seconds until the process is ended."""
    layout = Layout.of(home)
    parts = Parts.of(layout, port_choice.kept(layout.ports), load_or_make(layout))
    while True:
        layout.beat.touch()
        repair(layout, parts.servers + parts.workers)
        time.sleep(LOOK_SECONDS)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
