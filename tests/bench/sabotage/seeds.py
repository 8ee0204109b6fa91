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
        folder: keeps every verdict of one commit (`table.json`), those of other kinds too.
        seeds: of each kind.
        kinds: their names.
        page: whether a kind's row joins the docs' table once it is whole.
    """
    kept = folder / TABLE
    measured = machine()
    table: dict[str, list[str]] = _verdicts(kept, measured["commit"])
    candidates = Candidates(folder)
    judge = Distributions(candidates)
    for kind in kinds:
        said = table.setdefault(kind, [])
        for seed in range(len(said), seeds):
            said.append(judge.verdict(candidates.make(kind, seed), seed))
            kept.write_text(json.dumps({"commit": measured["commit"], "said": table}, indent=1))
            say(kind, f"seed {seed}: {said[-1]}")
        row = counted(said[:seeds], measured)
        if page:
            join({kind: row})
        say(kind, f"accepted {row['accepted']}, refused {row['refused']} of {row['seeds']}")


def _verdicts(kept: Path, commit: str) -> dict[str, list[str]]:
    """Verdicts of earlier runs, by kind.

    Raises:
        SystemExit: they are of another commit.
    """
    if not kept.is_file():
        return {}
    found = json.loads(kept.read_text())
    if found["commit"] != commit:
        raise SystemExit(f"{kept} is of commit {found['commit']}, not of {commit}")
    said: dict[str, list[str]] = found["said"]
    return said
