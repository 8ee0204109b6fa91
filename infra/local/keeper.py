"""The keeper: a piece that starts other pieces again when they die (`infra.local.repair`)."""

import sys
import time

from infra.local.layout import Layout
from infra.local.piece import NotWell, Piece
from tasks.core.settings import Settings

KEEPER = "keeper"
SILENT_SECONDS = 15.0


def keeper(layout: Layout) -> Piece:
    """The keeper as a piece of the stack."""
    return Piece(
        name=KEEPER,
        command=(sys.executable, "-m", "infra.local.repair", str(layout.home)),
        env={"ROUNDHOUSE_STACK_AUTH": str(Settings().stack_auth)},
        probe=lambda: _probe(layout),
    )


def _probe(layout: Layout) -> None:
    age = time.time() - layout.beat.stat().st_mtime if layout.beat.exists() else float("inf")
    if age > SILENT_SECONDS:
        raise NotWell(f"the last look at the stack was {age:.0f} s ago")
