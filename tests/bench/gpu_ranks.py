"""One card against several that tune a block together, in one call, at gemma-4-31B's shapes.

`python -m tests.bench.gpu_ranks FOLDER` tunes copies of a sliding and of a full block with 1, 2, 4
and 8 ranks, as many as there are cards, and writes `ranks.json` and `ranks.md`. `--tiny` is for
trying the script with gloo on a processor.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from tasks.kernels.select import make_ready
from tasks.quantize.fused.ranks import Ranks, together
from tests.bench.gpu import SECONDS, Measuring, recipe, run_blocks
from tests.bench.gpu_base import FULL, GEMMA_4_31B, SLIDING, TINY, build
from tests.bench.machine import as_the_worker, machine

SIZES = (1, 2, 4, 8)
PLAN = "fp8,fp8,bf16,bf16,profile fp8;fp8,fp8,bf16,bf16,profile fp8"
HEADER = (
    "| attention | gradients | cards | seconds | times one card | best loss / one card's "
    "| MB summed an iteration | MB sent by a card's links | GB allocated | GB reserved |\n"
    + "|---" * 10
    + "|"
)
MEGABYTE = 1e6


def main() -> None:
    """Measure, write, and print the table; with --rank, be one rank."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="takes the results")
    parser.add_argument("--runs", default=PLAN, help="of each block")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--tiny", action="store_true", help="small blocks, few iterations")
    parser.add_argument("--rank", type=int, help="of this process; started by the others' parent")
    parser.add_argument("--size", type=int)
    parser.add_argument("--base", type=Path)
    chosen = parser.parse_args()
    as_the_worker()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    if chosen.rank is None:
        _measure(chosen)
    else:
        _rank(chosen)


def _measure(chosen: argparse.Namespace) -> None:
    cards = torch.cuda.device_count() or max(chosen.sizes)
    result: dict[str, Any] = {"machine": machine(), "runs": []}
    result["recipe"] = recipe(tiny=chosen.tiny)
    with tempfile.TemporaryDirectory() as scratch:
        base = Path(scratch) / "base"
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        build(base, TINY if chosen.tiny else GEMMA_4_31B, (SLIDING, FULL), device)
        if device.type == "cuda":
            torch.cuda.empty_cache()
        for size in (each for each in chosen.sizes if each <= cards):
            result["runs"] += _together(chosen, base, size)
            (chosen.folder / "ranks.json").write_text(json.dumps(result, indent=1) + "\n")
            (chosen.folder / "ranks.md").write_text(table(result))
            sys.stdout.write(table(result))
            sys.stdout.flush()


def _together(chosen: argparse.Namespace, base: Path, size: int) -> list[dict[str, Any]]:
    """Rows of all ranks of one size."""
    command = [sys.executable, "-m", "tests.bench.gpu_ranks", str(chosen.folder)]
    command += ["--runs", chosen.runs, "--base", str(base), "--size", str(size)]
    command += ["--tiny"] if chosen.tiny else []
    running = []
    for rank in range(size):
        log = (chosen.folder / f"log-{size}-{rank}").open("wb")
        own = [*command, "--rank", str(rank)]
        running.append(subprocess.Popen(own, stdout=log, stderr=subprocess.STDOUT))
        log.close()
    failed = [rank for rank, each in enumerate(running) if each.wait()]
    if failed:
        logs = ", ".join(str(chosen.folder / f"log-{size}-{rank}") for rank in failed)
        sys.exit(f"{size} ranks: {failed} failed; see {logs}")
    files = [base.parent / f"rows-{size}-{rank}.json" for rank in range(size)]
    return [
        row | {"cards": size, "rank": rank}
        for rank, file in enumerate(files)
        for row in json.loads(file.read_text())
    ]


def _rank(chosen: argparse.Namespace) -> None:
    cards = torch.cuda.is_available()
    device = torch.device("cuda", chosen.rank) if cards else torch.device("cpu")
    if cards:
        torch.cuda.set_device(device)
    make_ready(device, "fp8")
    rows: list[dict[str, Any]] = []
    file = chosen.base.parent / f"rows-{chosen.size}-{chosen.rank}.json"
    plan = [each.split(",") for each in chosen.runs.split(";")]

    def written() -> None:
        file.write_text(json.dumps(rows))

    measuring = Measuring(device, rows, plan, written, time.monotonic() + SECONDS)
    ranks = None
    if chosen.size > 1:
        meeting = chosen.base.parent / f"meeting-{chosen.size}"
        ranks = Ranks(meeting, chosen.rank, chosen.size, device)
    with together(ranks):
        run_blocks(chosen.base, measuring, tiny=chosen.tiny)


def table(result: dict[str, Any]) -> str:
    """Both tables, for people."""
    timed = [row for row in result["runs"] if "seconds" in row]
    keys = sorted({(r["attention"], r["run"], r["cards"]) for r in timed}, reverse=False)
    lines = [HEADER, *(_line(timed, *key) for key in keys)]
    parts = [row for row in result["runs"] if "parts" in row and row["rank"] == 0]
    if parts:
        names = sorted({name for row in parts for name in row["parts"]})
        lines += ["", "| attention | cards | " + " | ".join(names) + " |"]
        lines.append("|---" * (len(names) + 2) + "|")
        for row in parts:
            cells = " | ".join(f"{row['parts'].get(name, 0):.2f}" for name in names)
            lines.append(f"| {row['attention']} | {row['cards']} | {cells} |")
    return "\n".join(lines) + "\n"


def _line(timed: list[dict[str, Any]], attention: str, run: str, cards: int) -> str:
    """The last run of each, when all is compiled; the slowest rank counts."""

    def last(size: int, what: str) -> list[float]:
        rows = [
            r for r in timed if (r["attention"], r["run"], r["cards"]) == (attention, run, size)
        ]
        ranks = [[r for r in rows if r["rank"] == rank][-1] for rank in range(size)]
        return [float(row.get(what) or float("nan")) for row in ranks]

    seconds, alone = max(last(cards, "seconds")), last(1, "seconds")[0]
    loss = statistics.mean(last(cards, "best")) / last(1, "best")[0]
    figures = [last(cards, "summed")[0] / MEGABYTE, max(last(cards, "wire")) / MEGABYTE]
    memory = [max(last(cards, what)) for what in ("allocated", "reserved")]
    cells = [f"{seconds:.2f}", f"{alone / seconds:.2f}", f"{loss:.4f}"]
    cells += ["" if figure != figure else f"{figure:.1f}" for figure in figures]  # noqa: PLR0124
    cells += [f"{figure:.2f}" for figure in memory]
    return f"| {attention} | {run} | {cards} | " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
