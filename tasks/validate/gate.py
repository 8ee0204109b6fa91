"""Judges a candidate against its base: linted, served, asked, compared."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tasks.core.progress import Reporter
from tasks.core.recipe import Recipe
from tasks.core.records import Check
from tasks.core.settings import Settings
from tasks.validate.baseline import Baseline
from tasks.validate.canaries import check_canaries, check_text_only
from tasks.validate.compare import Comparison, compare
from tasks.validate.evidence import Evidence, check_limits, check_size
from tasks.validate.kernel import check_kernel, find_kernel, numerics
from tasks.validate.lint import lint
from tasks.validate.logprobs import measure, save
from tasks.validate.portion import Portion
from tasks.validate.serve import serve

WEIGHTS = "*.safetensors"
LOG, TEXT_LOG = "vllm-candidate.log", "vllm-text-only.log"
BASE_LOGPROBS, LOGPROBS = "logprobs-base.safetensors", "logprobs-candidate.safetensors"


class Gate:
    """One judgement; `judge` gives its evidence.

    Args:
        base: folder of the base.
        candidate: folder of the candidate.
        recipe: says what is required.
        settings: name the serving environment.
        folder: takes the log-probabilities, from which all metrics can be computed again.
        logs: takes the servers' logs, which name paths of this machine.
        reporter: is told how far it is.
    """

    def __init__(
        self,
        base: Path,
        candidate: Path,
        *,
        recipe: Recipe,
        settings: Settings,
        folder: Path,
        logs: Path,
        reporter: Reporter,
    ) -> None:
        self._base, self._candidate, self._folder, self._logs = base, candidate, folder, logs
        self._recipe, self._settings, self._reporter = recipe, settings, reporter
        self._checks: list[Check] = []
        self._seconds: dict[str, float] = {}

    def judge(self, baseline: Callable[[Reporter], Baseline], names: tuple[str, str]) -> Evidence:
        """All evidence; nothing is served when the static checks already fail.

        Args:
            baseline: gives the base's measurements, serving the base if need be.
            names: of base and candidate, for people.

        Raises:
            ServingError: base or candidate cannot be served.
            ServingUnavailable: a server went away.
        """
        base, candidate = names
        self._lint()
        if any(not check.passed for check in self._checks):
            return self._evidence(base, candidate)
        with self._timed("base"):
            known = baseline(Portion(self._reporter, 0.05, 0.4))
        engine, kernel, comparison = self._serve(known)
        self._serve_text_only()
        self._checks += check_limits(comparison, self._recipe.validation.limits)
        return self._evidence(base, candidate).model_copy(
            update={
                "engine": engine,
                "kernel": kernel,
                "numerics": numerics(kernel) if kernel else None,
                "metrics": comparison.metrics,
                "bounds": comparison.bounds,
                "texts": comparison.texts,
            }
        )

    def _evidence(self, base: str, candidate: str) -> Evidence:
        checks, seconds = tuple(self._checks), self._seconds
        return Evidence(base=base, candidate=candidate, checks=checks, seconds=seconds)

    def _lint(self) -> None:
        with self._timed("static checks"):
            self._checks += lint(
                self._candidate,
                self._base,
                serve_python=self._settings.serve_python,
                recipe=self._recipe,
                reporter=Portion(self._reporter, 0, 0.05),
            )
        release, base = _weight_bytes(self._candidate), _weight_bytes(self._base)
        self._checks.append(check_size(release, base, self._recipe.validation.limits))

    def _serve(self, known: Baseline) -> tuple[str, str, Comparison]:
        """Engine, kernel and comparison of the served candidate."""
        wanted = self._recipe.validation
        start, asked = Portion(self._reporter, 0.4, 0.6), Portion(self._reporter, 0.6, 0.7)
        with (
            self._timed("candidate"),
            serve(
                self._candidate,
                name="candidate",
                serving=wanted.serving,
                settings=self._settings,
                log=self._logs / LOG,
                reporter=start,
            ) as server,
        ):
            kernel = find_kernel(server.log.read_text(errors="replace"))
            self._checks.append(check_kernel(kernel))
            strict = wanted.strict_canaries
            self._checks += check_canaries(server, wanted.canaries, asked, strict=strict)
            results = measure(
                server,
                known.tokens,
                wanted.serving.logprobs,
                wanted.serving.max_num_seqs,
                Portion(self._reporter, 0.7, 0.8),
            )
        save(self._folder / BASE_LOGPROBS, known.results)
        save(self._folder / LOGPROBS, results)
        return str(server.engine), kernel, compare(known.results, results)

    def _serve_text_only(self) -> None:
        wanted = self._recipe.validation
        with (
            self._timed("candidate, text only"),
            serve(
                self._candidate,
                name="candidate",
                serving=wanted.serving,
                settings=self._settings,
                log=self._logs / TEXT_LOG,
                reporter=Portion(self._reporter, 0.8, 0.98),
                text_only=True,
            ) as server,
        ):
            self._checks += check_text_only(server, strict=wanted.strict_canaries)

    @contextmanager
    def _timed(self, part: str) -> Iterator[None]:
        started = time.monotonic()
        yield
        self._seconds[part] = round(time.monotonic() - started, 1)


def _weight_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob(WEIGHTS))
