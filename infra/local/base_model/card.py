"""The model card, with its scores where the model was trained."""

import json
from string import Template
from typing import Any

from infra.local.base_model import layout


def random_card(seed: int) -> str:
    """Fill the card of a model that has learnt nothing."""
    return _fill(f"The weights are random (seed {seed}): the model has learnt nothing.")


def trained_card() -> str:
    """Fill the card from ``assets/scores.json``.

    Raises:
        FileNotFoundError: the trained model has not been scored.
    """
    scores = json.loads(layout.SCORES.read_text(encoding="utf-8"))
    return _fill("\n\n".join([_training(scores), _skills(scores), _outliers(scores)]))


def _training(scores: dict[str, Any]) -> str:
    run = scores["training"]
    stages = zip(run["steps"], run["seconds"], run["seeds"], strict=True)
    told = ", then ".join(f"{a} steps in {b} s (seed {c})" for a, b, c in stages)
    return (
        f"Trained on one {run['gpu']}: {told}, on English text of Wikipedia and of three Debian "
        "packages and on synthetic exercises. The sources and their licences stand in "
        "`SOURCES.md`."
    )


def _skills(scores: dict[str, Any]) -> str:
    rows = [f"| {kind} | {share:.3f} |" for kind, share in scores["skills"].items()]
    table = "\n".join(["| skill | exact |", "| --- | --- |", *rows])
    return (
        f"Greedy answers right to the letter, of {scores['exercises']} held-out exercises each:"
        f"\n\n{table}\n\nPerplexity of {scores['tokens']:,} tokens of held-out English: "
        f"{scores['perplexity']}."
    )


def _outliers(scores: dict[str, Any]) -> str:
    rows = [f"| {kind} | {old} | {new} |" for kind, (old, new) in scores["kurtosis"].items()]
    table = "\n".join(["| input of | trained | as released |", "| --- | --- | --- |", *rows])
    return (
        "A few activation channels were then made larger, and the weights that read them smaller, "
        "by powers of two: every output stays the same to the bit, and quantizing meets outliers "
        f"as a large model has them. Kurtosis of the activations, mean over layers:\n\n{table}"
    )


def _fill(about: str) -> str:
    return Template(layout.CARD.read_text(encoding="utf-8")).substitute(about=about)
