"""Judges a candidate against its base: linted, served, asked, compared, and asked more if need be.

Looks. The first look is at the recipe's `texts`; while bounds enclose their limits and no limit is
broken, twice as many are compared, up to `most_texts`. All looks together err at most 5% a side:
each has its share (Bonferroni), so a bound is 97.5% where there are two looks.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tasks.core.gate_records import Check
from tasks.core.progress import Reporter
from tasks.core.recipe import Recipe
from tasks.core.settings import Settings
from tasks.validate.baseline import Baseline
from tasks.validate.canaries import check_canaries, check_text_only
from tasks.validate.compare import Comparison, compare
from tasks.validate.contexts import worst_contexts
from tasks.validate.engine import WIDER
from tasks.validate.evidence import Evidence, check_size
from tasks.validate.kernel import check_kernel, find_kernel, numerics
from tasks.validate.lint import lint
from tasks.validate.logprobs import TextLogprobs, measure, save
from tasks.validate.measures import Judged, gain, judge, noise, strata
from tasks.validate.portion import Portion
from tasks.validate.scores.paired import Paired, criteria, flipped, pair, summary
from tasks.validate.scores.run import score
from tasks.validate.second import second_opinion
from tasks.validate.serve import serve
from tasks.validate.server import Server

WEIGHTS = "*.safetensors"
LOG, TEXT_LOG = "vllm-candidate.log", "vllm-text-only.log"
BASE_LOGPROBS, LOGPROBS = "logprobs-base.safetensors", "logprobs-candidate.safetensors"
ERROR = 0.05
CONTEXTS, FLIPS = 8, 24
Control = Callable[[Baseline, Reporter], list[TextLogprobs]]


@dataclass(frozen=True)
class Folders:
    """Where base and candidate are, and where evidence and logs go.

    Attributes:
        base: folder of the base.
        candidate: folder of the candidate.
        evidence: takes the log-probabilities, from which all measures can be computed again.
        logs: takes the servers' logs, which name paths of this machine.
    """

    base: Path
    candidate: Path
    evidence: Path
    logs: Path


@dataclass
class _Found:
    """What is known so far."""

    checks: list[Check] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    scores: list[Paired] = field(default_factory=list)


class Gate:
    """One judgement; `judge` gives its evidence.

    Args:
        folders: of the two models, and for what is found.
        recipe: says what is required; None judges any checkpoint's choice of layers.
        settings: name the serving environment.
        reporter: is told how far it is.
        own: whether the recipe also says which layers are quantized.
    """

    def __init__(
        self,
        folders: Folders,
        *,
        recipe: Recipe,
        settings: Settings,
        reporter: Reporter,
        own: bool = True,
    ) -> None:
        self._folders, self._recipe, self._own = folders, recipe, own
        self._wanted = recipe.validation
        self._settings, self._reporter = settings, reporter
        self._looks = looks(self._wanted.texts, self._wanted.budget)
        attempts = self._wanted.repair.attempts if self._wanted.repair else 0
        self._confidence = 1 - ERROR / (len(self._looks) * (1 + attempts))
        self._found = _Found()

    def judge(
        self,
        baseline: Callable[[Reporter], Baseline],
        control: Control,
        names: tuple[str, str],
    ) -> Evidence:
        """All evidence; nothing is served when the static checks fail, or are all there is.

        Args:
            baseline: gives the base's measurements, serving the base if need be.
            control: gives the control's.
            names: of base and candidate, for people.

        Raises:
            ServingError: base or candidate cannot be served.
            ServingUnavailable: a server went away.
        """
        only = not self._wanted.measures
        self._found.facts = {"base": names[0], "candidate": names[1], "lint_only": only}
        self._lint()
        if only or any(not check.passed for check in self._found.checks):
            return self._evidence()
        with self._timed("base"):
            known = baseline(self._part(0.05, 0.3))
        rounded = None
        if "control" in self._wanted.arms:
            with self._timed("control"):
                rounded = control(known, self._part(0.3, 0.5))
        self._serve(known, rounded)
        self._serve_text_only()
        self._ask_second(known)
        return self._evidence()

    def _evidence(self) -> Evidence:
        found = self._found
        return Evidence(checks=tuple(found.checks), seconds=found.seconds, **found.facts)

    def _part(self, begin: float, end: float) -> Portion:
        return Portion(self._reporter, begin, end)

    def _lint(self) -> None:
        with self._timed("static checks"):
            self._found.checks += lint(
                self._folders.candidate,
                self._folders.base,
                serve_python=self._settings.serve_python,
                recipe=self._recipe if self._own else None,
                reporter=self._part(0, 0.05),
            )
        sizes = _weight_bytes(self._folders.candidate), _weight_bytes(self._folders.base)
        self._found.checks.append(check_size(*sizes, self._wanted.limits))

    def _serve(self, known: Baseline, control: list[TextLogprobs] | None) -> None:
        """Serve the candidate: kernel, canaries, log-probabilities, worst contexts."""
        with self._timed("candidate"), self._server(LOG, self._part(0.5, 0.65)) as server:
            kernel = find_kernel(server.log.read_text(errors="replace"))
            self._found.checks.append(check_kernel(kernel))
            self._found.checks += check_canaries(
                server, self._wanted.canaries, self._part(0.65, 0.7),
                strict=self._wanted.strict_canaries, context=self._wanted.serving.max_model_len,
            )  # fmt: skip
            self._score(server, known)
            results = self._look(server, known, control)
            comparison = self._compared(known, results, control)
            self._found.facts |= {
                "engine": str(server.engine),
                "kernel": kernel,
                "numerics": numerics(kernel) if kernel else None,
                "contexts": worst_contexts(
                    server, known.texts, known.results, results, comparison, CONTEXTS
                ),
            }
        save(self._folders.evidence / BASE_LOGPROBS, known.results[: len(results)])
        save(self._folders.evidence / LOGPROBS, results)

    def _score(self, server: Server, known: Baseline) -> None:
        """Put every task's items to the candidate, as they were put to the base."""
        if known.scores is None:
            return
        scored = score(
            server, known.items, self._wanted.serving, tokenizer=self._folders.candidate,
            scratch=self._folders.logs / "lm-eval", reporter=self._part(0.7, 0.75),
        )  # fmt: skip
        paired = pair(self._wanted.tasks, known.scores.tasks, scored.tasks)
        self._found.scores = paired
        self._found.facts |= {
            "tasks": summary(paired, seed=self._wanted.seed, confidence=self._confidence),
            "scorer": scored.engine,
            "flips": flipped(paired, known.items, FLIPS),
        }

    def _look(
        self, server: Server, known: Baseline, control: list[TextLogprobs] | None
    ) -> list[TextLogprobs]:
        """Measure, and measure more while that could change the verdict."""
        results: list[TextLogprobs] = []
        for number, count in enumerate(self._looks):
            step = 0.05 / len(self._looks)
            results += measure(
                server,
                known.texts[len(results) : count],
                self._wanted.serving.logprobs * WIDER,
                self._wanted.serving.max_num_seqs,
                self._part(0.75 + step * number, 0.75 + step * (number + 1)),
            )
            comparison = self._compared(known, results, control)
            judged = self._decide(comparison, len(known.texts))
            if not judged.undecided or len(results) == len(known.texts):
                break
            self._reporter.note(f"{len(results)} texts leave it open; comparing more")
        return results

    def _compared(
        self, known: Baseline, results: list[TextLogprobs], control: list[TextLogprobs] | None
    ) -> Comparison:
        n = len(results)
        return compare(
            known.results[:n],
            results,
            [text.stratum for text in known.texts[:n]],
            floor=None if known.floor is None else known.floor[:n],
            control=None if control is None else control[:n],
            p99_kl=self._wanted.limits.p99_kl,
        )

    def _decide(self, comparison: Comparison, available: int) -> Judged:
        seed, confidence, texts = self._wanted.seed, self._confidence, comparison.texts
        judged = judge(
            texts, self._wanted.limits, seed=seed, confidence=confidence,
            budget=min(self._wanted.budget, available),
            tasks=criteria(self._found.scores, self._wanted.limits, seed),
        )  # fmt: skip
        self._found.facts |= {
            "metrics": comparison.metrics,
            "texts": texts,
            "measures": judged.measures,
            "feasible": judged.feasible,
            "strata": strata(texts, seed=seed, confidence=confidence),
            "confidence": confidence,
            "seed": seed,
            "budget": self._wanted.budget,
            "anomalies": self._anomalies(comparison),
            "floor_kl": _mean([(text.floor_kl, text.tokens) for text in texts]),
            "control_kl": _mean([(text.control_kl, text.tokens) for text in texts]),
        }
        return judged

    def _anomalies(self, comparison: Comparison) -> tuple[str, ...]:
        limits, texts, seed = self._wanted.limits, comparison.texts, self._wanted.seed
        own = noise(texts, seed=seed, confidence=self._confidence)
        better = gain(texts, seed=seed, confidence=self._confidence)
        found = []
        if own is not None and own > limits.floor_kl:
            found.append(
                f"the base differs from itself by a mean KL of at least {own:.5f} when it is "
                f"served again, more than {limits.floor_kl:g}: the engine cannot measure this"
            )
        if better < 1 - limits.gain:
            found.append(
                f"the candidate's perplexity is at most {better:.4f} of the base's; rounding does "
                "not make a model better, so the two were not measured alike"
            )
        return tuple(found)

    def _serve_text_only(self) -> None:
        part = self._part(0.8, 0.95)
        with (
            self._timed("candidate, text only"),
            self._server(TEXT_LOG, part, text_only=True) as server,
        ):
            self._found.checks += check_text_only(server, strict=self._wanted.strict_canaries)

    def _ask_second(self, known: Baseline) -> None:
        if self._wanted.second_engine == 0:
            return
        self._reporter.update(0.95, "asking plain transformers for a second opinion")
        with self._timed("second engine"):
            self._found.facts["second"] = second_opinion(
                self._folders.base,
                self._folders.candidate,
                [text for text in known.texts if not text.chat][: self._wanted.second_engine],
                self._folders.logs / "second",
            )

    @contextmanager
    def _server(self, log: str, reporter: Reporter, *, text_only: bool = False) -> Iterator[Server]:
        with serve(
            self._folders.candidate,
            name="candidate",
            serving=self._wanted.serving,
            settings=self._settings,
            log=self._folders.logs / log,
            reporter=reporter,
            text_only=text_only,
        ) as server:
            yield server

    @contextmanager
    def _timed(self, part: str) -> Iterator[None]:
        started = time.monotonic()
        yield
        self._found.seconds[part] = round(time.monotonic() - started, 1)


def looks(first: int, most: int) -> list[int]:
    """How many texts are compared at each look: doubled until all are."""
    counts = [first]
    while counts[-1] < most:
        counts.append(min(2 * counts[-1], most))
    return counts


def _mean(values: list[tuple[float | None, int]]) -> float | None:
    known = [(value, weight) for value, weight in values if value is not None]
    total = sum(weight for _, weight in known)
    return sum(value * weight for value, weight in known) / total if known else None


def _weight_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob(WEIGHTS))
