"""What tuning costs: KL divergence and perplexity against the base, ours beside AutoRound's.

`python -m tests.bench.quality FOLDER` quantizes a base with both tuners from several seeds, and
runs every result on the held-out texts with weights and activations as they will be served. A
result and its opposite see the same texts, so differences are paired; intervals are 95%, from a
bootstrap over documents.
"""

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any

import torch

from tasks.core.progress import Silent
from tasks.quantize.launch import build
from tests.bench import demo
from tests.bench.machine import machine
from tests.bench.page import named, put
from tests.bench.scores import Scores, difference, documents, load, put_in, score

TUNERS = ("autoround", "fused")


def measure(folder: Path, base: Path, seeds: list[int]) -> dict[str, Any]:
    """Quantize with both tuners from each seed, and compare."""
    original, texts = load(base), documents(base, demo.heldout())
    samples = demo.samples(folder, base, demo.recipe())
    found: dict[str, list[Scores]] = {tuner: [] for tuner in TUNERS}
    ratios: dict[str, list[float]] = {tuner: [] for tuner in TUNERS}
    for seed in seeds:
        for tuner in TUNERS:
            recipe = demo.recipe(tuning__tuner=tuner, tuning__seed=seed)
            out, scratch = folder / f"{tuner}{seed}", folder / f"{tuner}{seed}.scratch"
            scratch.mkdir()
            blocks: Any = build(out, base, samples, recipe, scratch, Silent())["blocks"]
            ratios[tuner].append(statistics.mean(each.best / each.first for each in blocks))
            candidate = load(base)
            put_in(candidate, out)
            found[tuner].append(score(candidate, original, texts))
            sys.stdout.write(f"{tuner} {seed}: {_mean(found[tuner][-1:])}\n")
            sys.stdout.flush()
    return {
        "machine": machine(),
        "base": base.name,
        "documents": len(texts),
        "tokens": int(found["fused"][0].tokens.sum()),
        "seeds": seeds,
        "tuners": {t: _mean(found[t]) | {"best / first": ratios[t]} for t in TUNERS},
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
    """The result as Markdown."""
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
    return "\n".join([head, *rows]) + "\n"


def main() -> None:
    """Measure, write and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="takes results; must not exist")
    parser.add_argument("--base", type=Path, help="the demo's where not given")
    parser.add_argument("--page", action="store_true", help="put the table into the docs")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    chosen = parser.parse_args()
    chosen.folder.mkdir(parents=True)
    base = chosen.base or demo.base(chosen.folder / "demo")
    result = measure(chosen.folder, base, chosen.seeds)
    (chosen.folder / "quality.json").write_text(json.dumps(result, indent=2) + "\n")
    (chosen.folder / "quality.md").write_text(table(result))
    sys.stdout.write(table(result))
    if chosen.page:
        put(f"quality {result['base']}", named(result["machine"]) + table(result))


if __name__ == "__main__":
    main()
