"""Train the base model on one GPU: ``python -m infra.local.base_model.train TEXT OUT``.

TEXT is what ``corpus_tokens`` wrote, OUT receives two safetensors files and a log. A step reads
rows of English and of long exercises, then short exercises half of which have a painted picture.
``--smoke`` runs a few small steps on any machine.
"""

import argparse
import json
import math
import os
import time
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as nnf
from transformers.models.gemma4.modeling_gemma4 import Gemma4RMSNorm

from infra.local.base_model import architecture, chats, evaluate
from infra.local.base_model.config import BOS
from infra.local.base_model.paint import paint
from infra.local.base_model.processor import processor
from infra.local.base_model.skills import KINDS, Kind

LONG: dict[Kind, float] = {"recall": 0.8, "tool_refusal": 0.1, "tool_call": 0.1}
WORDS: dict[Kind, float] = {
    "chat": 0.18,
    "reasoning": 0.22,
    "recall": 0.14,
    "tool_call": 0.24,
    "tool_refusal": 0.15,
    "tool_result": 0.07,
}
POLISH_LONG: dict[Kind, float] = {"recall": 0.6, "tool_refusal": 0.25, "tool_call": 0.15}
POLISH_WORDS: dict[Kind, float] = {
    "chat": 0.12,
    "reasoning": 0.15,
    "recall": 0.13,
    "tool_call": 0.25,
    "tool_refusal": 0.3,
    "tool_result": 0.05,
}
PICTURES: dict[Kind, float] = {"colour": 0.25, "shape": 0.4, "colour_shape": 0.35}
_IGNORED = -100
_CAP = 30.0


@dataclass(frozen=True)
class Plan:
    """The run's figures: rows of each group in a step, widths in tokens, and the schedule.

    Attributes:
        seconds: of training; the learning rate falls to nothing by then.
        rate: the learning rate's peak, held until ``steady`` of the run.
        polish: trained weights to go on from, with more of what was hardest to learn.
    """

    seconds: float
    seed: int = 0
    text_rows: int = 20
    long_rows: int = 12
    word_rows: int = 72
    picture_rows: int = 56
    long_width: int = 512
    short_width: int = 288
    exercises: int = 200_000
    rate: float = 2e-3
    warm_up: int = 200
    steady: float = 0.3
    decay: float = 0.1
    steps: int = 1_000_000
    polish: Path | None = None


class Source:
    """Rows of exercises in a shuffled order, over and over."""

    def __init__(self, rows: chats.Chats, count: int, generator: torch.Generator) -> None:
        self._rows, self._count, self._generator = rows, count, generator
        self._order = torch.empty(0, dtype=torch.long, device=generator.device)

    def draw(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Give ids and labels (count, width) int64, and picture codes (count, 4)."""
        if len(self._order) < self._count:
            total = len(self._rows.ids)
            self._order = torch.randperm(
                total, device=self._generator.device, generator=self._generator
            )
        chosen, self._order = self._order[: self._count], self._order[self._count :]
        ids = self._rows.ids[chosen].long()
        place = torch.arange(ids.shape[1], device=ids.device)
        spoken = place >= self._rows.begin[chosen, None]
        spoken &= place < self._rows.end[chosen, None]
        return ids, torch.where(spoken, ids, _IGNORED), self._rows.picture[chosen]


class Trainer:
    """The model, its optimizer and its data on one device."""

    def __init__(self, plan: Plan, text: dict[str, torch.Tensor], device: torch.device) -> None:
        self.plan, self.device = plan, device
        self.generator = torch.Generator(device).manual_seed(plan.seed)
        if plan.polish:
            self.model = architecture.trained_model(plan.polish).float()
        else:
            self.model = architecture.random_model(plan.seed)
        self.model.to(device).train()
        self._text = text["train"].to(device).long()
        self._sources = self._exercises()
        self.optimizer = self._optimizer()
        for module in self.model.modules():
            if isinstance(module, Gemma4RMSNorm):
                vars(module)["forward"] = partial(_fused_norm, module)

    def _exercises(self) -> tuple[Source, Source, Source]:
        plan, workers = self.plan, os.cpu_count() or 1
        long, words = (POLISH_LONG, POLISH_WORDS) if plan.polish else (LONG, WORDS)
        groups = (
            (long, plan.exercises // 4, plan.long_width, plan.long_rows),
            (words, plan.exercises, plan.short_width, plan.word_rows),
            (PICTURES, plan.exercises // 2, plan.short_width, plan.picture_rows),
        )
        made = [
            Source(
                chats.make(shares, count, width, plan.seed + place, workers).to(self.device),
                rows,
                self.generator,
            )
            for place, (shares, count, width, rows) in enumerate(groups)
        ]
        return made[0], made[1], made[2]

    def _optimizer(self) -> torch.optim.AdamW:
        weights = list(self.model.parameters())
        groups: list[dict[str, Any]] = [
            {"params": [w for w in weights if w.ndim > 1], "weight_decay": self.plan.decay},
            {"params": [w for w in weights if w.ndim == 1], "weight_decay": 0.0},
        ]
        return torch.optim.AdamW(
            groups, lr=self.plan.rate, betas=(0.9, 0.95), fused=self.device.type == "cuda"
        )

    def step(self, progress: float, number: int) -> dict[str, torch.Tensor]:
        """Take one step at ``progress`` (0 to 1) through the run; give its losses and norm."""
        plan = self.plan
        rate = plan.rate * min(1.0, (number + 1) / plan.warm_up)
        rate *= min(1.0, max(0.0, (1 - progress) / (1 - plan.steady)))
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        with torch.autocast(self.device.type, torch.bfloat16):
            losses = self._long_pass() | self._short_pass()
        torch.autograd.backward(torch.stack(list(losses.values())).sum())
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return {name: loss.detach() for name, loss in losses.items()} | {"norm": norm}

    def _long_pass(self) -> dict[str, torch.Tensor]:
        width, count = self.plan.long_width, self.plan.text_rows
        start = torch.randint(
            len(self._text) - width, (count, 1), device=self.device, generator=self.generator
        )
        english = self._text[start + torch.arange(width, device=self.device)]
        english[:, 0] = BOS
        ids, labels, _ = self._sources[0].draw()
        hidden = self._hidden(torch.cat([english, ids]))
        return {
            "text": self._loss(hidden[:count], english),
            "long": self._loss(hidden[count:], labels),
        }

    def _short_pass(self) -> dict[str, torch.Tensor]:
        word_ids, word_labels, _ = self._sources[1].draw()
        seen_ids, seen_labels, codes = self._sources[2].draw()
        patches, places = paint(codes, self.generator)
        hidden = self._hidden(
            torch.cat([word_ids, seen_ids]), pixel_values=patches, image_position_ids=places
        )
        count = len(word_ids)
        return {
            "words": self._loss(hidden[:count], word_labels),
            "pictures": self._loss(hidden[count:], seen_labels),
        }

    def _hidden(self, ids: torch.Tensor, **pictures: torch.Tensor) -> torch.Tensor:
        # Padding stands at the right, where causal attention never looks: no mask is needed.
        output = self.model.model(input_ids=ids, use_cache=False, **pictures)
        hidden: torch.Tensor = output.last_hidden_state
        return hidden

    def _loss(self, hidden: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        wanted = labels[:, 1:] != _IGNORED
        logits = self.model.lm_head(hidden[:, :-1][wanted])
        return nnf.cross_entropy(torch.tanh(logits.float() / _CAP) * _CAP, labels[:, 1:][wanted])


def _fused_norm(module: Any, hidden: torch.Tensor) -> torch.Tensor:
    """Normalize as Gemma4RMSNorm does, in one kernel: most of a small model's step is launches."""
    weight = module.weight.float() if module.with_scale else None
    with torch.autocast(hidden.device.type, enabled=False):
        normed = nnf.rms_norm(hidden.float(), hidden.shape[-1:], weight, module.eps)
    return normed.type_as(hidden)


def run(trainer: Trainer, log: Path, held_out: torch.Tensor) -> int:
    """Train until the plan's seconds or steps are over; give the number of steps.

    Raises:
        FloatingPointError: the loss is no number.
    """
    plan, begun, number = trainer.plan, time.monotonic(), 0
    while (spent := time.monotonic() - begun) < plan.seconds and number < plan.steps:
        losses = trainer.step(spent / plan.seconds, number)
        number += 1
        if number % 100 == 0 or number in {1, 10, 50}:
            line: dict[str, float] = {name: round(x.item(), 4) for name, x in losses.items()}
            if not math.isfinite(line["text"]):
                raise FloatingPointError(f"the loss at step {number} is not a number: {line}")
            if number % 500 == 0:
                line["perplexity"] = _perplexity(trainer, held_out)
            _say(log, step=number, seconds=round(spent, 1), **line)
    return number


def _perplexity(trainer: Trainer, tokens: torch.Tensor) -> float:
    trainer.model.eval()
    with torch.autocast(trainer.device.type, torch.bfloat16):
        found = evaluate.perplexity(trainer.model, tokens)
    trainer.model.train()
    return round(found, 2)


def save(model: Any, folder: Path) -> None:
    """Write the BF16 weights into two files, the embedding once."""
    state = {
        name: tensor.detach().to(torch.bfloat16).cpu().contiguous()
        for name, tensor in model.state_dict().items()
        if name != "lm_head.weight"
    }
    halves: list[dict[str, torch.Tensor]] = [{}, {}]
    for name in sorted(state, key=lambda name: (-state[name].numel(), name)):
        min(halves, key=lambda half: sum(t.numel() for t in half.values()))[name] = state[name]
    for number, half in enumerate(halves):
        save_file(half, folder / f"part-{number}.safetensors", metadata={"format": "pt"})


def _score(model: Any, log: Path, count: int) -> None:
    maker = processor()
    model = model.to(torch.bfloat16).eval()
    tokens = evaluate.rows(maker.tokenizer)
    _say(log, perplexity=evaluate.perplexity(model, tokens))
    for kind in KINDS if count else ():
        share, wrong = evaluate.exact_answers(model, maker, kind, count)
        _say(log, kind=kind, exact=share, wrong=wrong[:3])


def _readable(plan: Plan) -> dict[str, Any]:
    return asdict(plan) | {"polish": bool(plan.polish)}


def _say(log: Path, **facts: object) -> None:
    line = json.dumps(facts)
    print(line, flush=True)  # noqa: T201 - the run's progress
    with log.open("a", encoding="utf-8") as file:
        file.write(line + "\n")


def main() -> None:
    """Parse the command line, train, save and score."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("text", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seconds", type=float, default=500)
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--polish", type=Path, help="go on from these weights")
    parser.add_argument("--exercises", type=int, default=128, help="scored of each kind")
    parser.add_argument("--smoke", action="store_true", help="a few small steps")
    arguments = parser.parse_args()
    plan = Plan(arguments.seconds, steps=arguments.steps)
    if arguments.polish:
        plan = replace(plan, polish=arguments.polish, seed=1, rate=4e-4, warm_up=40)
        plan = replace(plan, exercises=60_000)
    if arguments.smoke:
        plan = replace(plan, text_rows=2, long_rows=1, word_rows=2, picture_rows=2)
        plan = replace(plan, exercises=64, steps=3)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    # cuDNN's attention gave gradients that were no numbers on an H100.
    torch.backends.cuda.enable_cudnn_sdp(False)
    torch.backends.cuda.matmul.allow_tf32 = True
    torch.manual_seed(plan.seed)
    arguments.out.mkdir(parents=True, exist_ok=True)
    log = arguments.out / "train.jsonl"
    begun = time.monotonic()
    trainer = Trainer(plan, load_file(arguments.text), device)
    _say(log, plan=_readable(plan), device=str(device), prepared=round(time.monotonic() - begun, 1))
    tokens = evaluate.rows(processor().tokenizer)[:32]
    steps = run(trainer, log, tokens)
    save(trainer.model, arguments.out)
    _say(log, steps=steps, total=round(time.monotonic() - begun, 1))
    _score(trainer.model, log, arguments.exercises)


if __name__ == "__main__":
    main()
