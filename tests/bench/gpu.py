"""Our tuner against AutoRound's at the block shapes of gemma-4-31B, on a card, in one run.

`python -m tests.bench.gpu FOLDER` builds a base of random weights with two sliding and two full
blocks, runs both tuners on copies of the same blocks, and writes `gpu.json` and `gpu.md`. The JSON
grows run by run, so that one that is cut off leaves what it had. `--tiny` is for trying the script
where there is no card.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch

from tasks.kernels.select import make_ready
from tasks.quantize.memory import pack_within
from tests.bench.gpu_base import FULL, GEMMA_4_31B, SLIDING, TINY, build, layers
from tests.bench.gpu_split import PARTS, limit, rates, tiles
from tests.bench.machine import as_the_worker, machine

KINDS = (SLIDING, FULL, SLIDING, FULL)
FIRST = ["fp8", "bare", "bf16"]
SECOND = ["fp8", "bf16", "host fp8", "host", "memory host", "profile fp8", "profile"]
PLAN = [FIRST, FIRST, SECOND, SECOND]
PARTS_SHOWN = (*PARTS, "rest")
SECONDS = 430.0
"""After which no further run begins."""
HEADER = (
    "| block | run | seconds | ms/iteration | times bare | GB allocated | GB reserved "
    "| best loss / bare's |\n" + "|---" * 8 + "|"
)


def main() -> None:
    """Measure, write, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="takes the results")
    parser.add_argument("--tiny", action="store_true", help="small blocks, few iterations")
    parser.add_argument("--runs", help="of each block, as in `bf16,bare;bf16`; all without")
    parser.add_argument("--cap", type=float, help="GB that torch may take of the card; all without")
    chosen = parser.parse_args()
    as_the_worker()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()
    result: dict[str, Any] = {"machine": machine(), "runs": []}
    write = partial(_write, chosen.folder, result)
    device = torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    if chosen.cap:
        result["cap"] = chosen.cap
        _cap(device, chosen.cap)
    with tempfile.TemporaryDirectory() as scratch:
        plan = [each.split(",") for each in chosen.runs.split(";")] if chosen.runs else PLAN
        result["recipe"] = recipe(tiny=chosen.tiny)
        measured = Measuring(device, result["runs"], plan, write, begun + SECONDS)
        _measure(Path(scratch) / "base", measured, tiny=chosen.tiny)
    if not chosen.cap:
        _ceilings(result, device, tiny=chosen.tiny)
    result["seconds"] = time.monotonic() - begun
    write()
    sys.stdout.write((chosen.folder / "gpu.md").read_text())


class Measuring(NamedTuple):
    """What to measure, and where it goes.

    Attributes:
        device: of the blocks.
        rows: takes a dictionary a run.
        plan: of each block, the runs in order.
        written: is called after each run.
        deadline: of `time.monotonic`, after which no run begins.
    """

    device: torch.device
    rows: list[dict[str, Any]]
    plan: list[list[str]]
    written: Callable[[], None]
    deadline: float


def recipe(*, tiny: bool) -> dict[str, int]:
    """Samples, tokens of each, samples of a batch, and iterations."""
    names = ("samples", "tokens", "batch", "iterations")
    return dict(zip(names, (4, 32, 2, 6) if tiny else (64, 512, 8, 200), strict=True))


def _measure(base: Path, measuring: Measuring, *, tiny: bool) -> None:
    """Build the base, and run its blocks."""
    make_ready(measuring.device, "fp8")  # as the worker does, while the base is not there yet
    build(base, TINY if tiny else GEMMA_4_31B, KINDS, measuring.device)
    _say("the base is built")
    if measuring.device.type == "cuda":
        torch.cuda.empty_cache()
    run_blocks(base, measuring, tiny=tiny)


def run_blocks(base: Path, measuring: Measuring, *, tiny: bool) -> None:
    """Let AutoRound go through the blocks that the plan has runs for."""
    from auto_round import AutoRound

    from tests.bench.gpu_measured import MeasuredConfig
    from tests.bench.side_by_side import Done

    samples, tokens, batch, iterations = recipe(tiny=tiny).values()
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(200, 4000, (samples, tokens), generator=generator)
    config = MeasuredConfig(
        rows=measuring.rows, plan=measuring.plan, written=measuring.written,
        deadline=measuring.deadline, iters=iterations, seed=42,
    )  # fmt: skip
    compressor = AutoRound(
        model=str(base),
        dataset=[{"input_ids": part} for part in torch.split(ids, batch)],
        scheme="NVFP4",
        nsamples=samples,
        seqlen=tokens,
        batch_size=batch,
        seed=42,
        ignore_layers="vision_tower,embed_vision,lm_head",
        device_map=str(measuring.device),
        format="auto_round",
        alg_configs=config,
    )
    with suppress(Done):
        compressor.quantize_and_save(str(base.parent / "out"), format="auto_round")


def _cap(device: torch.device, gigabytes: float) -> None:
    whole = torch.cuda.get_device_properties(device).total_memory / 1e9
    torch.cuda.set_per_process_memory_fraction(gigabytes / whole, device)
    pack_within(gigabytes * 1e9)


def _ceilings(result: dict[str, Any], device: torch.device, *, tiny: bool) -> None:
    """What the card does at best, and what that means for these blocks."""
    rate = rates(device, 512 if tiny else 8192)
    recipe = result["recipe"]
    result["rates"] = rate
    shape = TINY if tiny else GEMMA_4_31B
    result["limits"] = {
        kind: limit(layers(shape, kind), recipe["batch"] * recipe["tokens"], rate)
        for kind in (SLIDING, FULL)
    }
    if device.type == "cuda":
        result["tiles"] = tiles(21504, 5376, device)


def _write(folder: Path, result: dict[str, Any]) -> None:
    (folder / "gpu.json").write_text(json.dumps(result, indent=1) + "\n")
    (folder / "gpu.md").write_text(table(result))
    _say(json.dumps(result["runs"][-1])[:600] if result["runs"] else "done")


def table(result: dict[str, Any]) -> str:
    """All that was measured, for people."""
    lines = [str(result["machine"]), "", table_of_runs(result), table_of_parts(result)]
    for row in result["runs"]:
        if "places" in row:
            lines.append(
                f"{row['attention']} {row['run']}: {row['before']:.2f} GB before, "
                f"{row['peak']:.2f} at most, by place {row['places']}"
            )
        if "left out" in row:
            lines.append(f"{row['block']}: no time for {row['left out']}")
    lines += [f"{name}: {result[name]}" for name in ("rates", "tiles", "seconds") if name in result]
    return "\n".join(lines) + "\n"


def table_of_runs(result: dict[str, Any]) -> str:
    """Seconds and memory, a line a run, and what compiling took."""
    timed = [row for row in result["runs"] if "seconds" in row]
    bare = {row["attention"]: row for row in timed if row["run"] == "bare"}
    lines = [HEADER, *(_line(row, bare) for row in timed)]
    if compiling := _compiling(timed):
        said = (
            f"First blocks took {compiling:.1f} s more than the next runs of their kind: "
            "compiling, and waiting for what was begun when the process started."
        )
        lines += ["", said]
    return "\n".join(lines) + "\n"


def table_of_parts(result: dict[str, Any]) -> str:
    """Milliseconds of an iteration by part, and the limit that the matrix products set."""
    rows = [row for row in result["runs"] if "parts" in row]
    if not rows:
        return ""
    lines = ["| attention | run | " + " | ".join(PARTS_SHOWN) + " | products at the card's rate |"]
    lines.append("|---" * (len(PARTS_SHOWN) + 3) + "|")
    for row in rows:
        name = "fp8" if "fp8" in row["run"] else "bf16"
        cells = [f"{row['parts'].get(part, 0):.2f}" for part in PARTS_SHOWN]
        bound = result.get("limits", {}).get(row["attention"], {}).get(name, float("nan"))
        lines.append(f"| {row['attention']} | {name} | {' | '.join(cells)} | {bound:.2f} |")
    return "\n".join(lines) + "\n"


def _line(row: dict[str, Any], bare: dict[str, Any]) -> str:
    base = bare.get(row["attention"], {})
    same = base.get("block") == row["block"]
    ratio = f"{base['seconds'] / row['seconds']:.2f}" if base else ""
    loss = f"{row['best'] / base['best']:.4f}" if same and base.get("best") else ""
    each = row["seconds"] / row["iterations"] * 1e3
    return (
        f"| {row['block'].rpartition('.')[2]} {row['attention']} | {row['run']} "
        f"| {row['seconds']:.2f} | {each:.1f} | {ratio} | {row.get('allocated', 0):.2f} "
        f"| {row.get('reserved', 0):.2f} | {loss} |"
    )


def _compiling(timed: list[dict[str, Any]]) -> float:
    """Seconds that the first run of each kind of block took beyond the fastest like it."""
    total = 0.0
    for kind in set(KINDS):
        runs = [row for row in timed if row["attention"] == kind and row["run"] != "bare"]
        again = [row["seconds"] for row in runs[1:] if row["run"] == runs[0]["run"]]
        total += runs[0]["seconds"] - min(again) if again else 0.0
    return total


def _say(text: str) -> None:
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    main()
