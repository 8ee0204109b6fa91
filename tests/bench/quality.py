"""What tuning costs: KL divergence and perplexity against the base, ours beside AutoRound's.

`python -m tests.bench.quality FOLDER` quantizes a base with both tuners from several seeds, and
runs every result on the held-out texts with weights and activations as they will be served. A
result and its opposite see the same texts, so differences are paired; intervals are 95%, from a
bootstrap over documents. What a tuner made from a seed is kept in the folder: the same command
goes on after it.
"""

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any

import torch

from flows.terminal import changes
from tests.bench import demo
from tests.bench.machine import machine
from tests.bench.page import named, put
from tests.bench.quality_trial import Made, Trial
from tests.bench.scores import Scores, difference

TUNERS = ("autoround", "fused")


def measure(trial: Trial, seeds: list[int]) -> dict[str, Any]:
    """Quantize with both tuners from each seed, and compare."""
    made: dict[str, list[Made]] = {tuner: [] for tuner in TUNERS}
    for seed in seeds:
        for tuner in TUNERS:
            made[tuner].append(trial.made(tuner, seed))
            sys.stdout.write(f"{tuner} {seed}: {_mean([made[tuner][-1].scores])}\n")
            sys.stdout.flush()
    found = {tuner: [each.scores for each in of] for tuner, of in made.items()}
    ratios = {tuner: [each.ratio for each in of] for tuner, of in made.items()}
    recipe = trial.recipe("fused", seeds[0])
    return {
        "machine": machine(),
        "base": trial.base.name,
        "samples": [recipe.calibration.nsamples, recipe.calibration.seqlen],
        "iterations": recipe.tuning.iters,
        "documents": len(found["fused"][0].tokens),
        "tokens": int(found["fused"][0].tokens.sum()),
        "seeds": seeds,
        "tuners": {
            t: _mean(found[t])
            | {"best / first": ratios[t], "seconds": [each.seconds for each in made[t]]}
            for t in TUNERS
        },
        "ours less AutoRound's": difference(found["fused"], found["autoround"]),
        "block loss, ours / AutoRound's": statistics.mean(ratios["fused"])
        / statistics.mean(ratios["autoround"]),
    }


def _mean(scores: list[Scores]) -> dict[str, float]:
    tokens = sum(float(each.tokens.sum()) for each in scores)
    nats = torch.tensor(sum(float(each.surprise.sum()) for each in scores) / tokens)
    kl = sum(float(each.kl.sum()) for each in scores) / tokens
    return {"kl": kl, "perplexity": float(nats.exp())}


def table(result: dict[str, Any]) -> str:
    """The result as Markdown, under a line that says what it was made of."""
    (samples, length), seeds = result["samples"], ", ".join(map(str, result["seeds"]))
    said = (
        f"{samples} samples of {length} tokens, {result['iterations']} iterations, "
        f"seeds {seeds}; {result['documents']} texts of {result['tokens']} tokens\n\n"
    )
    rows = [
        f"| {tuner} | {each['kl']:.4f} | {each['perplexity']:.3f} "
        f"| {statistics.mean(each['best / first']):.4f} |"
        for tuner, each in result["tuners"].items()
    ]
    less = result["ours less AutoRound's"]
    kl, perplexity = ("{:.4f} [{:.4f}, {:.4f}]".format(*less[it]) for it in ("kl", "perplexity"))
    loss = result["block loss, ours / AutoRound's"]
    rows.append(f"| ours less AutoRound's, or over | {kl} | {perplexity} | {loss:.4f} |")
    head = "| tuner | KL to BF16, nats | perplexity | best / first block loss |\n|---|---|---|---|"
    return said + "\n".join([head, *rows]) + "\n"


def main() -> None:
    """Measure, write and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="takes results, and holds those of a broken run")
    parser.add_argument("--base", type=Path, help="the demo's where not given")
    parser.add_argument("--page", action="store_true", help="put the table into the docs")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--documents", type=int, default=200, help="held-out texts, at most")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="change the demo's recipe"
    )
    chosen = parser.parse_args()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    base = chosen.base or demo.base(chosen.folder / "demo")
    trial = Trial(chosen.folder, base, changes(chosen.set), chosen.documents)
    result = measure(trial, chosen.seeds)
    (chosen.folder / "quality.json").write_text(json.dumps(result, indent=2) + "\n")
    (chosen.folder / "quality.md").write_text(table(result))
    sys.stdout.write(table(result))
    if chosen.page:
        put(f"quality {result['base']}", named(result["machine"]) + table(result))


if __name__ == "__main__":
    main()
