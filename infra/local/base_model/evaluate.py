"""Measure a model: exact answers to held-out exercises, perplexity, distance from another.

``python -m infra.local.base_model.evaluate MODEL [--reference MODEL] [--exercises N]``
"""

import argparse
import json
import math
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from infra.local.base_model import layout
from infra.local.base_model.chats import prompt
from infra.local.base_model.config import BOS, EOS, PAD, STOP
from infra.local.base_model.pictures import draw
from infra.local.base_model.sample import Sample
from infra.local.base_model.skills import KINDS, Kind, sample

WIDTH = 512
_BATCH, _EXERCISES = 16, 64
_LONGEST_ANSWER = 72


@dataclass(frozen=True)
class Distance:
    """How a model's next-token distributions differ from the reference's.

    Attributes:
        kl: mean Kullback-Leibler divergence of the model from the reference, nats a token.
        agreement: share of tokens where both rank the same token first.
    """

    kl: float
    agreement: float


def rows(tokenizer: Any) -> torch.Tensor:
    """Lay ``heldout.jsonl`` out in rows (n, 512) int64, each led by <bos>."""
    stream: list[int] = []
    with (layout.ASSETS / "heldout.jsonl").open(encoding="utf-8") as lines:
        for line in lines:
            ids = tokenizer(json.loads(line)["text"], add_special_tokens=False)["input_ids"]
            stream += [*ids, EOS]
    count = len(stream) // (WIDTH - 1)
    body = torch.tensor(stream[: count * (WIDTH - 1)]).view(count, WIDTH - 1)
    return torch.cat([torch.full((count, 1), BOS), body], dim=1)


@torch.no_grad()
def perplexity(model: Any, tokens: torch.Tensor) -> float:
    """Give exp of the mean negative log-likelihood of ``tokens`` (n, width) after the first."""
    total = 0.0
    for batch in torch.split(tokens.to(model.device), _BATCH):
        logs = _logs(model, batch)[:, :-1]
        total -= logs.gather(-1, batch[:, 1:, None]).sum().item()
    return math.exp(total / tokens[:, 1:].numel())


@torch.no_grad()
def distance(model: Any, reference: Any, tokens: torch.Tensor) -> Distance:
    """Compare two models on the same ``tokens`` (n, width)."""
    kl, agreed = 0.0, 0
    for batch in torch.split(tokens.to(model.device), _BATCH):
        ours, theirs = _logs(model, batch), _logs(reference, batch)
        kl += (theirs.exp() * (theirs - ours)).sum().item()
        agreed += int((ours.argmax(-1) == theirs.argmax(-1)).sum())
    return Distance(kl / tokens.numel(), agreed / tokens.numel())


def _logs(model: Any, batch: torch.Tensor) -> torch.Tensor:
    logits: torch.Tensor = model(input_ids=batch).logits
    return logits.float().log_softmax(-1)


def exact_answers(
    model: Any, processor: Any, kind: Kind, count: int
) -> tuple[float, list[tuple[str, str]]]:
    """Answer ``count`` held-out exercises greedily.

    Returns:
        The share answered to the letter, and (expected, given) for the others.
    """
    rng = random.Random(f"evaluate {kind}")  # noqa: S311 - examples, not secrets
    made = [sample(kind, rng, "held_out") for _ in range(count)]
    given: list[str] = []
    for at in range(0, count, _EXERCISES):
        given += _answer(model, processor, made[at : at + _EXERCISES], rng)
    pairs = zip((each.answer.text() for each in made), given, strict=True)
    wrong = [(expected, text) for expected, text in pairs if expected != text]
    return 1 - len(wrong) / count, wrong


@torch.no_grad()
def _answer(model: Any, processor: Any, made: list[Sample], rng: random.Random) -> list[str]:
    drawn = [[draw(each.picture, rng)] for each in made if each.picture]
    inputs = processor(
        text=[prompt(processor, each) for each in made],
        images=drawn or None,
        return_tensors="pt",
        padding=True,
        padding_side="left",
        add_special_tokens=False,
    ).to(model.device)
    if drawn:
        inputs["pixel_values"] = inputs["pixel_values"].to(model.dtype)
    settings = {"do_sample": False, "eos_token_id": STOP, "pad_token_id": PAD}
    out = model.generate(**inputs, max_new_tokens=_LONGEST_ANSWER, **settings)
    answers = out[:, inputs["input_ids"].shape[1] :].tolist()
    return [processor.tokenizer.decode([i for i in ids if i != PAD]) for ids in answers]


def main() -> None:
    """Print the scores of the model named on the command line as JSON."""
    from transformers import AutoProcessor, Gemma4ForConditionalGeneration

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--reference", type=Path)
    parser.add_argument("--exercises", type=int, default=64, help="of each kind")
    arguments = parser.parse_args()
    load: Any = Gemma4ForConditionalGeneration.from_pretrained
    model = load(arguments.model, dtype=torch.bfloat16).eval()
    read: Any = AutoProcessor.from_pretrained
    processor = read(arguments.model)
    tokens = rows(processor.tokenizer)
    scores: dict[str, Any] = {"perplexity": perplexity(model, tokens)}
    if arguments.reference:
        found = distance(model, load(arguments.reference, dtype=torch.bfloat16).eval(), tokens)
        scores |= {"kl": found.kl, "agreement": found.agreement}
    for kind in KINDS:
        scores[kind] = exact_answers(model, processor, kind, arguments.exercises)[0]
    print(json.dumps(scores, indent=2))  # noqa: T201 - the command's output


if __name__ == "__main__":
    main()
