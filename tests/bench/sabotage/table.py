"""What the gate said of honest and sabotaged candidates: kept as JSON, shown in the docs.

A run measures some kinds in one of two ways: from many seeds without a server, or once through
vLLM. Its rows replace theirs and leave the others, so each row says when and of which commit it was
measured.
"""

import json
from pathlib import Path
from typing import Any

from tasks.core.digest import indented_json
from tests.bench.page import put
from tests.bench.sabotage.kinds import KINDS

PAGE, PLACE, SERVED_PLACE = Path("docs/explanation/gate.md"), "sabotage", "sabotage through vLLM"
KEPT = Path("docs/measurements/sabotage.json")
HEAD = (
    "| candidate | seeds | accepted | refused | undecided | commit | date |\n"
    "|---|---|---|---|---|---|---|"
)
SERVED_HEAD = (
    "| candidate | verdict | what failed | canaries that failed | seconds | commit | date |\n"
    "|---|---|---|---|---|---|---|"
)
NAMED = 2
Rows = dict[str, dict[str, Any]]


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


def join(rows: Rows) -> None:
    """Put facts of kinds into what is kept, and all of it into the page."""
    kept = kept_rows()
    for kind, facts in rows.items():
        kept[kind] = kept.get(kind, {}) | facts
    kept = {kind: kept[kind] for kind in KINDS if kind in kept}
    KEPT.write_text(indented_json(kept))
    put(PLACE, seeds_table(kept), PAGE)
    put(SERVED_PLACE, served_table(kept), PAGE)


def kept_rows() -> Rows:
    """What is kept, by kind: counts over seeds, and under `vllm` the gate's one judgement."""
    kept: Rows = json.loads(KEPT.read_text()) if KEPT.is_file() else {}
    return kept


def seeds_table(kept: Rows) -> str:
    """Counts over seeds as Markdown, under the machines."""
    rows = {kind: it for kind, it in kept.items() if "seeds" in it}
    lines = [
        f"| {kind} | {it['seeds']} | {it['accepted']} | {it['refused']} | {it['undecided']} "
        f"| {_when(it)} |"
        for kind, it in rows.items()
    ]
    return "\n".join([f"{_machines(rows)}.", "", HEAD, *lines]) + "\n"


def served_table(kept: Rows) -> str:
    """Verdicts of the whole gate as Markdown, under the machines, the engine and the kernel."""
    rows = {kind: it["vllm"] for kind, it in kept.items() if "vllm" in it}
    if not rows:
        return "Not run yet.\n"
    lines = [
        f"| {kind} | {it['verdict']} | {_reasons(it)} | {_canaries(it)} | {it['seconds']:.0f} "
        f"| {_when(it)} |"
        for kind, it in rows.items()
    ]
    ran = {f"{it['engine']}, {it['kernel']}" for it in rows.values() if it["kernel"]}
    head = "; ".join([_machines(rows), *sorted(ran)])
    return "\n".join([f"{head}.", "", SERVED_HEAD, *lines]) + "\n"


def _machines(rows: Rows) -> str:
    machines = [it["machine"] for it in rows.values()]
    told = {f"{it['device']}, {it['threads']} threads" for it in machines}
    return "; ".join(sorted(told)) + ", no GPU"


def _when(row: dict[str, Any]) -> str:
    return f"{row['machine']['commit']} | {row['machine']['date']}"


def _reasons(row: dict[str, Any]) -> str:
    undecided = [f"{name} undecided" for name in row["undecided"]]
    return _first([*row["failed"], *undecided]) or "nothing"


def _canaries(row: dict[str, Any]) -> str:
    """Those that failed; in brackets where the gate had refused the files before."""
    names = [name.removeprefix("canary: ") for name in row["canaries"]]
    told = "vLLM does not load it" if row["unserved"] else ", ".join(names) or "none"
    return told if row["served"] == "by the gate" else f"({told})"


def _first(names: list[str]) -> str:
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")
