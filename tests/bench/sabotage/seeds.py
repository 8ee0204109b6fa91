"""Judges each kind from many seeds, without a server; what was judged before is read back."""

import json
from collections.abc import Sequence
from pathlib import Path

from tests.bench.machine import machine
from tests.bench.sabotage.candidates import Candidates
from tests.bench.sabotage.distributions import Distributions
from tests.bench.sabotage.says import say
from tests.bench.sabotage.table import counted, join

TABLE = "table.json"


def run(folder: Path, seeds: int, kinds: Sequence[str], *, page: bool) -> None:
    """Judge kinds, and say how many of each were accepted and refused.

    Args:
        folder: keeps every verdict (`table.json`), those of other kinds too.
        seeds: of each kind.
        kinds: their names.
        page: whether a kind's row joins the docs' table once it is whole.
    """
    kept = folder / TABLE
    table: dict[str, list[str]] = json.loads(kept.read_text()) if kept.is_file() else {}
    candidates = Candidates(folder)
    judge = Distributions(candidates)
    for kind in kinds:
        said = table.setdefault(kind, [])
        for seed in range(len(said), seeds):
            said.append(judge.verdict(candidates.make(kind, seed), seed))
            kept.write_text(json.dumps(table, indent=1))
            say(kind, f"seed {seed}: {said[-1]}")
        row = counted(said[:seeds], machine())
        if page:
            join({kind: row})
        say(kind, f"accepted {row['accepted']}, refused {row['refused']} of {row['seeds']}")
