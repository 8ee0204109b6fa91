"""What the gate said of honest and sabotaged candidates: kept as JSON, shown in the docs.

A run measures some kinds; its rows replace theirs and leave the others, so each row says when and
of which commit it was measured.
"""

import json
from pathlib import Path
from typing import Any

from tasks.core.digest import indented_json
from tests.bench.page import put

PAGE, PLACE = Path("docs/explanation/gate.md"), "sabotage"
KEPT = Path("docs/measurements/sabotage.json")
HEAD = (
    "| candidate | seeds | accepted | refused | undecided | commit | date |\n"
    "|---|---|---|---|---|---|---|"
)


def counted(said: list[str], machine: dict[str, str]) -> dict[str, Any]:
    """Counts of one kind's verdicts.

    Args:
        said: a verdict a seed, then why in brackets.
        machine: what they were measured on.
    """
    accepted = sum(word.startswith("ACCEPT") for word in said)
    refused = sum(word.startswith("REGRESSION") for word in said)
    counts = {"seeds": len(said), "accepted": accepted, "refused": refused}
    return counts | {"undecided": len(said) - accepted - refused, "machine": machine}


def join(rows: dict[str, dict[str, Any]], order: list[str]) -> None:
    """Put rows into what is kept, and all of it into the page, in an order of kinds."""
    kept = json.loads(KEPT.read_text()) if KEPT.is_file() else {}
    kept |= rows
    KEPT.write_text(indented_json({kind: kept[kind] for kind in order if kind in kept}))
    put(PLACE, table({kind: kept[kind] for kind in order if kind in kept}), PAGE)


def table(kept: dict[str, dict[str, Any]]) -> str:
    """All rows as Markdown, under the machines."""
    machines = {
        f"{it['machine']['device']}, {it['machine']['threads']} threads" for it in kept.values()
    }
    rows = [
        f"| {kind} | {it['seeds']} | {it['accepted']} | {it['refused']} | {it['undecided']} "
        f"| {it['machine']['commit']} | {it['machine']['date']} |"
        for kind, it in kept.items()
    ]
    return "\n".join([f"{'; '.join(sorted(machines))}, no GPU.", "", HEAD, *rows]) + "\n"
