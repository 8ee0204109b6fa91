"""What the ranking child is asked, and what it answers."""

from pathlib import Path
from typing import Any

from tasks.core.manifest import Frozen
from tasks.core.repair_records import KeptLayers


class Job(Frozen):
    """Find the layers of a candidate that harm it most.

    Attributes:
        base: folder of the base.
        candidate: folder of its NVFP4 checkpoint.
        rows: held-out rows, each with `text` or with `messages`.
        tokens: of each row, at most.
        room: bytes that kept layers may add.
        target: mean KL at which no further layer is kept, nats a token.
    """

    base: Path
    candidate: Path
    rows: tuple[dict[str, Any], ...]
    tokens: int
    room: int
    target: float


class Ranking(Frozen):
    """What to keep.

    Attributes:
        engine: its name and version.
        tokens: positions that were measured.
        before: mean KL of the candidate against the base, nats a token.
        after: the same with the layers kept.
        kept: the layers, the most harmful first.
        considered: groups of layers that were measured: those that fit by themselves.
    """

    engine: str
    tokens: int
    before: float
    after: float
    kept: tuple[KeptLayers, ...]
    considered: int
