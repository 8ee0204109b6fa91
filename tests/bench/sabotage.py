"""Does the gate tell honest candidates from sabotaged ones? `python -m tests.bench.sabotage DIR`.

Each seed calibrates a candidate of the trained demo base on other rows and is judged on other
held-out texts; each kind of sabotage is done to that candidate, which is rounded to nearest. The
kind `tuned` is honest too, and tuned as the demo tunes. `--kinds tuned` runs that kind alone, and
its row joins the table (`--page`). A run that was cut goes on behind the seeds in DIR.

Static checks are the gate's own; distributions come from plain transformers in float32 with weights
decoded and activations rounded by `tasks.kernels`, decisions from the gate's own statistics. The
control is made as the gate makes it, from the candidate's folder: of a candidate that is rounded to
nearest it is the same checkpoint, and a sabotaged one hands it the scales of its activations.
Canaries need a server and are left out, so nothing here is caught by them.
"""

import argparse
import json
import random
import shutil
import sys
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForImageTextToText, AutoTokenizer

from infra.local.base_model import layout
from infra.local.base_model.build import build_trained
from tasks.convert.convert import build as convert
from tasks.core.checkpoint import Checkpoint
from tasks.core.progress import Silent
from tasks.core.schemes import E2M1_MAX, E4M3_MAX
from tasks.kernels.nvfp4 import Packed, decode
from tasks.kernels.reference import quantize_input
from tasks.validate.compare import compare
from tasks.validate.control import Job
from tasks.validate.control_worker import round_to_nearest
from tasks.validate.lint import static_checks
from tasks.validate.logprobs import TextLogprobs
from tasks.validate.measures import judge
from tasks.validate.packed import packed_modules
from tasks.validate.statistics.decide import verdict
from tasks.validate.tokens import FEWEST_SCORED, HeldoutText, stratum_of
from tests.bench.machine import machine
from tests.bench.sabotage_table import counted, join
from tests.bench.sabotages import KINDS, change, read
from tests.bench.tuned import tuned
from tests.fake_release import RECIPE, make_output

TEXTS, LENGTH, CALIBRATION, K = 100, 160, 12, 20
BATCH = 20
HONEST, TUNED = "honest, rounded to nearest", "honest, tuned"
ALL = [HONEST, TUNED, *KINDS]
SHORT = {"honest": HONEST, "tuned": TUNED}


class Engine:
    """The base in plain transformers; `measure` runs it with a checkpoint's layers."""

    def __init__(self, base: Path) -> None:
        loaded: Any = AutoModelForImageTextToText.from_pretrained(base, dtype=torch.bfloat16)
        self.model: Any = loaded.float().eval()
        self.layers = dict(self.model.named_modules())

    @torch.no_grad()
    def measure(self, texts: Sequence[HeldoutText]) -> list[TextLogprobs]:
        """Log-probabilities of what is scored; what is padded comes after it, so it is not seen."""
        found = []
        for first in range(0, len(texts), BATCH):
            batch = texts[first : first + BATCH]
            longest = max(len(text.ids) for text in batch)
            ids = torch.tensor([[*text.ids, *[0] * (longest - len(text.ids))] for text in batch])
            for logits, text in zip(self.model(input_ids=ids).logits, batch, strict=True):
                logprobs = logits[: len(text.ids) - 1].log_softmax(-1)
                found.append(_cut(logprobs, torch.tensor(text.ids[1:])).scored(text.start))
        return found

    @contextmanager
    def wearing(self, checkpoint: Path) -> Any:
        """The model with a checkpoint's packed layers, activations rounded before each."""
        tensors = read(checkpoint)
        kept, handles = {}, []
        for module in packed_modules(tensors):
            layer = self.layers[module]
            kept[module] = layer.weight.data
            parts = [tensors[f"{module}.weight_{p}"] for p in ("packed", "scale", "global_scale")]
            layer.weight.data = decode(Packed(*parts)).float()
            divisor = tensors[f"{module}.input_global_scale"][0]
            handles.append(layer.register_forward_pre_hook(partial(_rounded, divisor=divisor)))
        try:
            yield self
        finally:
            for handle in handles:
                handle.remove()
            for module, weight in kept.items():
                self.layers[module].weight.data = weight

    @torch.no_grad()
    def peaks(self, modules: Sequence[str], texts: Sequence[Sequence[int]]) -> dict[str, float]:
        """Largest input of each layer."""
        found = dict.fromkeys(modules, 0.0)

        def see(_layer: object, inputs: tuple[torch.Tensor], *, module: str) -> None:
            found[module] = max(found[module], float(inputs[0].abs().max()))

        handles = [
            self.layers[m].register_forward_pre_hook(partial(see, module=m)) for m in modules
        ]
        self.model(input_ids=torch.tensor(texts))
        for handle in handles:
            handle.remove()
        return found


def _cut(logprobs: torch.Tensor, tokens: torch.Tensor) -> TextLogprobs:
    top = logprobs.topk(K)
    return TextLogprobs(
        tokens=tokens.int().numpy(),
        actual=logprobs.gather(1, tokens[:, None])[:, 0].numpy(),
        ids=top.indices.int().numpy(),
        logprobs=top.values.numpy(),
    )


def _rounded(
    _layer: object, inputs: tuple[torch.Tensor], *, divisor: torch.Tensor
) -> tuple[torch.Tensor]:
    shape = inputs[0].shape
    return (quantize_input(inputs[0].reshape(-1, shape[-1]), divisor).reshape(shape),)


@dataclass(frozen=True)
class Bench:
    """The base, its engine, all held-out texts, calibration texts, and a rounded checkpoint."""

    base: Path
    engine: Engine
    texts: list[HeldoutText]
    calibration: list[list[int]]
    known: list[TextLogprobs]
    rounded: Path

    @classmethod
    def build(cls, folder: Path) -> "Bench":
        """Make the base and measure it."""
        base = folder / "base"
        build_trained(base)
        make_output(base, folder / "output")
        convert(folder / "rounded", base, folder / "output", RECIPE, Silent())
        tokenizer, engine = AutoTokenizer.from_pretrained(base), Engine(base)
        texts = [*_texts(tokenizer, "heldout"), *_texts(tokenizer, "heldout_chats")]
        rows = [row["messages"] for row in _rows("calibration")]
        calibration = [list(tokenizer.apply_chat_template(r, return_dict=False)) for r in rows]
        calibration = [ids[:LENGTH] for ids in calibration if len(ids) >= LENGTH]
        known = engine.measure(texts)
        return cls(base, engine, texts, calibration, known, folder / "rounded")

    def honest(self, folder: Path, rng: random.Random) -> None:
        """A candidate with scales of activations from rows of its own."""
        shutil.copytree(self.rounded, folder)
        modules = packed_modules(Checkpoint(folder).where)
        peaks = self.engine.peaks(modules, rng.sample(self.calibration, CALIBRATION))
        divisors = {m: torch.tensor([E4M3_MAX * E2M1_MAX / peak]) for m, peak in peaks.items()}
        change(folder, {f"{m}.input_global_scale": divisor for m, divisor in divisors.items()})

    def measured(self, candidate: Path, chosen: Sequence[int]) -> list[TextLogprobs]:
        """A candidate on the chosen held-out texts."""
        with self.engine.wearing(candidate):
            return self.engine.measure([self.texts[n] for n in chosen])

    def verdict(self, candidate: Path, chosen: Sequence[int]) -> str:
        """The gate's: static checks, then the last look at the chosen texts."""
        checks = static_checks(candidate, self.base, recipe=RECIPE, reporter=Silent())
        if broken := [check.name for check in checks if not check.passed]:
            return f"REGRESSION ({broken[0]})"
        control = candidate.with_name("control")
        shutil.rmtree(control, ignore_errors=True)
        round_to_nearest(Job(base=self.base, candidate=candidate, output=control))
        comparison = compare(
            [self.known[n] for n in chosen],
            self.measured(candidate, chosen),
            [self.texts[n].stratum for n in chosen],
            control=self.measured(control, chosen),
        )
        judged = judge(
            comparison.texts, RECIPE.validation.limits, seed=42, confidence=0.975, budget=TEXTS
        )
        word = verdict(
            broken=False, anomalous=False, decisions=judged.decisions, feasible=judged.feasible
        )
        failing = [m.name for m in judged.measures if m.decision != "holds"]
        return f"{word} ({', '.join([f'KL {comparison.metrics.mean_kl:.4f}', *failing])})"


def _rows(name: str) -> list[dict[str, Any]]:
    lines = (layout.ASSETS / f"{name}.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def _texts(tokenizer: Any, name: str) -> list[HeldoutText]:
    """The rows of one file, cut to `LENGTH` tokens; of a chat the answer alone is scored."""
    texts = []
    for row in _rows(name):
        start = 1
        if "text" in row:
            ids = tokenizer(row["text"])["input_ids"]
        else:
            render = partial(
                tokenizer.apply_chat_template,
                tools=row.get("tools"), enable_thinking=row["thinking"], return_dict=False,
            )  # fmt: skip
            ids = render(row["messages"])
            asked = render(row["messages"][:-1], add_generation_prompt=True)
            start = next((n for n, (a, b) in enumerate(zip(ids, asked)) if a != b), len(asked))  # noqa: B905
        ids = ids[:LENGTH]
        if len(ids) - start >= FEWEST_SCORED:
            texts.append(HeldoutText(stratum=stratum_of(row), ids=tuple(ids), start=start))
    return texts


def _rng(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311 - choices, not secrets


def run(folder: Path, seeds: int, kinds: Sequence[str], *, page: bool) -> dict[str, list[str]]:
    """Verdicts by kind, one a seed; those in the folder's table are not measured again."""
    known = folder / "table.json"
    table = json.loads(known.read_text()) if known.is_file() else {}
    table = {kind: table.get(kind, []) for kind in kinds}
    work = folder / "work"
    shutil.rmtree(work, ignore_errors=True)
    bench = Bench.build(work)
    for seed in range(min(map(len, table.values())), seeds):
        chosen = _rng(seed).sample(range(len(bench.texts)), TEXTS)
        for kind in kinds:
            if len(table[kind]) == seed:
                candidate = _candidate(bench, kind, seed, work)
                table[kind].append(bench.verdict(candidate, chosen))
                _say(f"{seed} {kind}: {table[kind][-1]}")
                known.write_text(json.dumps(table, indent=1))
        if page:
            join({kind: counted(said, machine()) for kind, said in table.items()}, ALL)
    return table


def _candidate(bench: Bench, kind: str, seed: int, work: Path) -> Path:
    """A checkpoint of one kind."""
    candidate = work / "candidate"
    shutil.rmtree(candidate, ignore_errors=True)
    if kind == TUNED:
        tuned(candidate, bench.base, seed)
        return candidate
    bench.honest(candidate, _rng(seed))
    if kind in KINDS:
        KINDS[kind](candidate, _rng(seed))
    return candidate


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    """Print how many of each kind were accepted and refused."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument(
        "--kinds", nargs="+", choices=[*SHORT, *KINDS], default=[*SHORT, *KINDS], metavar="KIND"
    )
    parser.add_argument("--page", action="store_true", help="let the rows join the docs' table")
    chosen = parser.parse_args()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    np.seterr(all="raise", under="ignore")
    kinds = [SHORT.get(kind, kind) for kind in chosen.kinds]
    for kind, said in run(chosen.folder, chosen.seeds, kinds, page=chosen.page).items():
        found = counted(said, {})
        _say(f"{kind:36} accepted {found['accepted']:2} refused {found['refused']:2}: {said[0]}")


if __name__ == "__main__":
    main()
