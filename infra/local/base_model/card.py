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
    parts = [_training(scores), _skills(scores), _outliers(scores), _log()]
    return _fill("\n\n".join(parts))


def _training(scores: dict[str, Any]) -> str:
    run, again = scores["training"], scores["again"]
    return (
        f"Trained on one {run['gpu']} by `infra/local/base_model/train.py`: {_stages(run)}, "
        "on English text of Wikipedia and of three Debian packages and on synthetic exercises. "
        "The sources and their licences stand in `SOURCES.md`. "
        f"Trained again by the same script on an {again['gpu']} ({again['date']}, "
        f"{_versions(again)}: {_stages(again)}) it scores as the second column below says."
    )


def _versions(run: dict[str, Any]) -> str:
    return ", ".join(f"{name} {version}" for name, version in run["versions"].items())


def _stages(run: dict[str, Any]) -> str:
    stages = zip(run["steps"], run["seconds"], run["seeds"], strict=True)
    return ", then ".join(f"{a} steps in {b} s (seed {c})" for a, b, c in stages)


def _skills(scores: dict[str, Any]) -> str:
    again = scores["again"]
    rows = [
        f"| {kind} | {share:.3f} | {again['skills'][kind]:.3f} |"
        for kind, share in scores["skills"].items()
    ]
    rows.append(f"| perplexity | {scores['perplexity']} | {again['perplexity']} |")
    table = "\n".join(["| skill | exact | trained again |", "| --- | --- | --- |", *rows])
    return (
        f"Greedy answers right to the letter, of {scores['exercises']} held-out exercises each:"
        f"\n\n{table}\n\nPerplexity is of {scores['tokens']:,} tokens of held-out English."
    )


def _outliers(scores: dict[str, Any]) -> str:
    rows = [f"| {kind} | {old} | {new} |" for kind, (old, new) in scores["kurtosis"].items()]
    table = "\n".join(["| input of | trained | as released |", "| --- | --- | --- |", *rows])
    return (
        "A few activation channels were then made larger, and the weights that read them smaller, "
        "by powers of two: every output stays the same to the bit, and quantizing meets outliers "
        f"as a large model has them. Kurtosis of the activations, mean over layers:\n\n{table}"
    )


def _log() -> str:
    log = layout.TRAINING.read_text(encoding="utf-8")
    return f"<details><summary>Log of the second training</summary>\n\n```\n{log}```\n\n</details>"


def _fill(about: str) -> str:
    return Template(layout.CARD.read_text(encoding="utf-8")).substitute(about=about)
