"""What validation found, in one file: verdict, checks, measures, texts, and how they were made."""

from collections.abc import Sequence

from tasks.core.gate_records import LINT_ONLY, Check, Measure, Metrics, Stratum, TaskScore, Verdict
from tasks.core.manifest import Frozen
from tasks.core.recipe_validation import Limits
from tasks.core.repair_records import RepairStep
from tasks.validate.compare import TextResult
from tasks.validate.kernel import Numerics
from tasks.validate.scores.paired import Flip
from tasks.validate.second import SecondOpinion
from tasks.validate.statistics.decide import verdict


class Guess(Frozen):
    """A token that a model finds likely, and how likely."""

    token: str
    probability: float


class Context(Frozen):
    """A position where base and candidate differ most.

    Attributes:
        text: number of the held-out text.
        position: of the token in it.
        kl: nats.
        before: the text that leads up to it.
        token: what stands there.
        base: what the base finds likeliest, likeliest first.
        candidate: what the candidate finds likeliest.
    """

    text: int
    position: int
    kl: float
    before: str
    token: str
    base: tuple[Guess, ...]
    candidate: tuple[Guess, ...]


class Evidence(Frozen):
    """Everything that speaks for or against a candidate.

    Attributes:
        lint_only: whether the files alone were to be checked.
        base: what it was made from, for people.
        candidate: what was judged, for people.
        engine: serving engine and version; empty where nothing was served.
        kernel: the NVFP4 kernel that ran; empty where none did.
        numerics: what the kernel computes.
        checks: all checks, in the order they were made.
        metrics: the comparison; None where it did not come to one.
        measures: what of it has a limit, with bounds and decisions.
        strata: the comparison by kind of text.
        tasks: base and candidate on each task.
        scorer: what scored them, and its version; empty where there are no tasks.
        flips: items that just one of both answered rightly, those that were lost first.
        confidence: of each one-sided bound.
        seed: of the bootstrap.
        budget: texts that could have been compared.
        feasible: whether what is undecided could have been decided with them.
        anomalies: why the measurement itself cannot be trusted.
        floor_kl: mean KL of the base against itself; None where that was not measured.
        control_kl: mean KL of weights rounded to nearest; None where that was not measured.
        second: what plain transformers found.
        contexts: where base and candidate differ most.
        texts: each held-out text.
        seconds: how long each part took, by name.
        repairs: what was done to the candidate since it was first refused.
    """

    lint_only: bool = False
    base: str
    candidate: str
    engine: str = ""
    kernel: str = ""
    numerics: Numerics | None = None
    checks: tuple[Check, ...]
    metrics: Metrics | None = None
    measures: tuple[Measure, ...] = ()
    strata: tuple[Stratum, ...] = ()
    tasks: tuple[TaskScore, ...] = ()
    scorer: str = ""
    flips: tuple[Flip, ...] = ()
    confidence: float = 0.95
    seed: int = 42
    budget: int = 0
    feasible: bool = True
    anomalies: tuple[str, ...] = ()
    floor_kl: float | None = None
    control_kl: float | None = None
    second: SecondOpinion | None = None
    contexts: tuple[Context, ...] = ()
    texts: tuple[TextResult, ...] = ()
    seconds: dict[str, float]
    repairs: tuple[RepairStep, ...] = ()

    @property
    def failed(self) -> list[Check]:
        """The checks that did not hold."""
        return [check for check in self.checks if not check.passed]

    @property
    def open(self) -> list[Measure]:
        """The measures that do not hold."""
        return [measure for measure in self.measures if measure.decision != "holds"]

    @property
    def verdict(self) -> Verdict:
        """ACCEPT when everything was checked, and held."""
        if self.lint_only and not self.failed:
            return LINT_ONLY
        return verdict(
            broken=bool(self.failed) or self.metrics is None,
            anomalous=bool(self.anomalies),
            decisions=[measure.decision for measure in self.measures],
            feasible=self.feasible,
        )


def as_checks(measures: Sequence[Measure], confidence: float) -> list[Check]:
    """Measures as lines for people, beside the checks that know no chance."""
    return [
        Check(
            name=measure.name,
            passed=measure.decision == "holds",
            seen=f"{measure.value:.5f}, between {measure.lower:.5f} and {measure.upper:.5f} "
            f"({100 * confidence:g}% each side, {measure.sources} sources): {measure.decision}",
            required=f"{measure.direction} {measure.limit:g}",
        )
        for measure in measures
    ]


def check_size(release: int, base: int, limits: Limits) -> Check:
    """The release's bytes of weights over the base's."""
    ratio = release / base
    return Check(
        name="size ratio",
        passed=ratio <= limits.size_ratio,
        seen=f"{ratio:.3f}: {release / 1e6:,.1f} MB from {base / 1e6:,.1f} MB",
        required=f"at most {limits.size_ratio:g}",
    )
