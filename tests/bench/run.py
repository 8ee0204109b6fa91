"""`make bench`: our tuner against AutoRound's on this machine, as one JSON file and one table.

Every number of AutoRound's is from the same process as ours. `products` is the limit: what the
matrix products of the block's layers take by themselves, forward and both gradients, in the shapes
and the dtype of tuning. `rest` is attention, norms, activations and the loss. The demo's base is
tuned on random tokens, another one on the demo's texts.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from tasks.quantize.launch import environment
from tests.bench import demo
from tests.bench.machine import machine
from tests.bench.page import named, put

NSAMPLES, SEQLEN, BATCH, ITERATIONS, BLOCKS = 32, 192, 8, 20, 4
SEEDS = (1, 2, 3)
HEADER = (
    "| attention | AutoRound s | ours s | ratio | ours ms an iteration | products "
    "| fake-quantization | rest | AutoRound's peak RAM MB | ours | loss, ours / AutoRound's |\n"
    + "|---" * 11
    + "|"
)
MEGABYTE = 1e6


def main() -> None:
    """Measure, write, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="takes the results")
    parser.add_argument("--base", type=Path, help="the demo's where not given")
    parser.add_argument("--blocks", type=int, default=BLOCKS, help="the first so many")
    parser.add_argument("--page", action="store_true", help="put the table into the docs")
    chosen = parser.parse_args()
    folder = chosen.folder
    folder.mkdir(parents=True, exist_ok=True)
    rows = [row for seed in SEEDS for row in _compare(seed, chosen.base, chosen.blocks)]
    result: dict[str, Any] = {"machine": machine(), "rows": rows}
    name = "-".join([*result["machine"]["device"].split(), *_names(chosen.base)])
    (folder / f"{name}.json").write_text(json.dumps(result, indent=2) + "\n")
    shown = "\n".join([HEADER, *(line(kind, rows) for kind in _kinds(rows))]) + "\n"
    (folder / f"{name}.md").write_text(shown)
    sys.stdout.write(named(result["machine"]) + shown)
    if chosen.page:
        put(" ".join(["bench", *_names(chosen.base)]), named(result["machine"]) + shown)


def _names(base: Path | None) -> list[str]:
    """What tells a base's results from those of the demo's."""
    return [base.name] if base else []


def line(kind: str, rows: list[dict[str, Any]]) -> str:
    """One line of the table: medians over blocks and seeds of one kind of attention."""
    chosen = [row for row in rows if row["attention"] == kind]

    def median(tuner: str, what: str) -> float:
        return float(statistics.median(row[tuner][what] for row in chosen))

    bare, ours = median("bare", "seconds"), median("fused", "seconds")
    loss = statistics.mean(row["fused"]["best"] / row["bare"]["best"] for row in chosen)
    whole, kernels = (median("fused", it) / ITERATIONS for it in ("seconds", "kernel_seconds"))
    products = statistics.median(row["products"] for row in chosen)
    parts = (whole, products, kernels, whole - products - kernels)
    peaks = " | ".join(f"{median(tuner, 'peak_ram') / MEGABYTE:.0f}" for tuner in ("bare", "fused"))
    split = " | ".join(f"{part * 1e3:.1f}" for part in parts)
    return (
        f"| {kind} | {bare:.2f} | {ours:.2f} | {bare / ours:.2f} | {split} | {peaks} | {loss:.4f} |"
    )


def _kinds(rows: list[dict[str, Any]]) -> list[str]:
    return sorted({row["attention"] for row in rows})


def _compare(seed: int, given: Path | None, blocks: int) -> list[dict[str, Any]]:
    """The first blocks of a base, in a child: AutoRound keeps state of its process."""
    with tempfile.TemporaryDirectory() as scratch:
        base = given or demo.base(Path(scratch) / "base")
        samples = _texts(Path(scratch), base, seed) if given else _random(Path(scratch), seed)
        command = [sys.executable, "-m", "tests.bench.side_by_side", str(base)]
        command += ["--samples", str(samples), "--out", f"{scratch}/out", "--seed", str(seed)]
        done = subprocess.run(
            [*command, "--iters", str(ITERATIONS), "--batch", str(BATCH), "--blocks", str(blocks)],
            env=environment(Path(scratch)) | {"PYTHONPATH": str(Path.cwd())},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    return [json.loads(text) for text in done.stdout.splitlines() if text.startswith("{")]


def _random(folder: Path, seed: int) -> Path:
    """A calibration set of random tokens."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(200, 4000, (NSAMPLES, SEQLEN), generator=generator)
    save_file({"input_ids": ids.int()}, folder / "samples.safetensors")
    return folder / "samples.safetensors"


def _texts(folder: Path, base: Path, seed: int) -> Path:
    """A calibration set of the demo's texts, in a base's own tokens."""
    values = {"nsamples": NSAMPLES, "seqlen": SEQLEN, "image_samples": 0, "seed": seed}
    wanted = demo.recipe(**{f"calibration__{name}": value for name, value in values.items()})
    return demo.samples(folder, base, wanted)


if __name__ == "__main__":
    main()
