"""Judges candidates without a server: the gate's static checks, and distributions.

Distributions come from plain transformers, decisions from the gate's own statistics. The control is
made as the gate makes it, from the candidate's folder: of a candidate that is rounded to nearest it
is the same checkpoint, and a sabotaged one hands it the scales of its activations. Canaries need a
server and are left out, so nothing here is caught by them.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

from tasks.core.progress import Silent
from tasks.validate.compare import compare
from tasks.validate.control import Job
from tasks.validate.control_worker import round_to_nearest
from tasks.validate.lint import static_checks
from tasks.validate.logprobs import TextLogprobs
from tasks.validate.measures import judge
from tasks.validate.statistics.decide import verdict
from tests.bench.sabotage.candidates import Candidates, rng
from tests.bench.sabotage.texts import heldout
from tests.fake_release import RECIPE

TEXTS, CONFIDENCE = 100, 0.975


class Distributions:
    """The held-out texts and what the base expects of them.

    Args:
        candidates: has the base and its engine.
        count: texts that each seed chooses.
    """

    def __init__(self, candidates: Candidates, count: int = TEXTS) -> None:
        self._base, self._engine, self._count = candidates.base, candidates.engine, count
        self._texts = heldout(candidates.tokenizer)
        self._known: dict[int, TextLogprobs] = {}

    def verdict(self, candidate: Path, seed: int) -> str:
        """The gate's word: static checks, then the last look at the seed's texts; then why."""
        checks = static_checks(candidate, self._base, recipe=RECIPE, reporter=Silent())
        if broken := [check.name for check in checks if not check.passed]:
            return f"REGRESSION ({broken[0]})"
        chosen = rng(seed).sample(range(len(self._texts)), self._count)
        comparison = compare(
            self._expected(chosen),
            self._measured(candidate, chosen),
            [self._texts[n].stratum for n in chosen],
            control=self._measured(self._control(candidate), chosen),
        )
        judged = judge(
            comparison.texts, RECIPE.validation.limits, seed=42, confidence=CONFIDENCE,
            budget=self._count,
        )  # fmt: skip
        word = verdict(
            broken=False, anomalous=False, decisions=judged.decisions, feasible=judged.feasible
        )
        failing = [m.name for m in judged.measures if m.decision != "holds"]
        return f"{word} ({', '.join([f'KL {comparison.metrics.mean_kl:.4f}', *failing])})"

    def _control(self, candidate: Path) -> Path:
        control = self._base.with_name("control")
        shutil.rmtree(control, ignore_errors=True)
        round_to_nearest(Job(base=self._base, candidate=candidate, output=control))
        return control

    def _expected(self, chosen: Sequence[int]) -> list[TextLogprobs]:
        """What the base expects of the chosen texts; each is measured once."""
        new = [n for n in chosen if n not in self._known]
        measured = self._engine.measure([self._texts[n] for n in new])
        self._known |= dict(zip(new, measured, strict=True))
        return [self._known[n] for n in chosen]

    def _measured(self, checkpoint: Path, chosen: Sequence[int]) -> list[TextLogprobs]:
        with self._engine.wearing(checkpoint):
            return self._engine.measure([self._texts[n] for n in chosen])
