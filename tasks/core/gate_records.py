"""The gate's records: what was checked and measured of a release, and the verdict."""

from typing import Final, Literal

from tasks.core.manifest import Frozen, StageRecord

LINT_ONLY: Final = "LINT_ONLY"
Verdict = Literal["ACCEPT", "REGRESSION", "INCONCLUSIVE", "ANOMALOUS", "INFEASIBLE", "LINT_ONLY"]


class Check(Frozen):
    """One thing that was checked: its name, whether it held, what was seen, what was required."""

    name: str
    passed: bool
    seen: str
    required: str = ""


class Metrics(Frozen):
    """Base against candidate on held-out text; k is the number of log-probabilities asked for.

    Attributes:
        k: top-k ids of the base that are compared, plus one tail bucket.
        texts: held-out texts.
        tokens: positions compared.
        base_perplexity: of the base.
        perplexity: of the candidate.
        perplexity_ratio: candidate over base.
        mean_kl: nats a token.
        p99_kl: its 99th percentile over tokens.
        top1_agreement: share of positions whose likeliest token is the same.
        sure_agreement: the same, of positions where the base gives its likeliest token 90%.
        median_kl: its median over tokens.
        flips: share of positions where just one of both has the token that stands there likeliest.
        covered: share of the base's probability on ids whose probability both servers told.
    """

    k: int
    texts: int
    tokens: int
    base_perplexity: float
    perplexity: float
    perplexity_ratio: float
    mean_kl: float
    p99_kl: float
    top1_agreement: float
    sure_agreement: float | None = None
    median_kl: float | None = None
    flips: float | None = None
    covered: float | None = None


class Measure(Frozen):
    """One measure of the comparison, with its one-sided bounds and what they decide.

    Attributes:
        name: for people.
        value: of the candidate against the base.
        lower: bound below which the true value is not.
        upper: bound above which it is not.
        direction: which side of the limit is good.
        limit: what the recipe requires.
        decision: `holds`, `fails`, or `undecided`: the bounds enclose the limit.
        detectable: smallest damage that is seen four times in five with these sources.
        sources: texts it is measured on.
        stratum: the kind of text; empty for all.
    """

    name: str
    value: float
    lower: float
    upper: float
    direction: Literal["at most", "at least"]
    limit: float
    decision: Literal["holds", "fails", "undecided"]
    detectable: float
    sources: int
    stratum: str = ""


class Stratum(Frozen):
    """One kind of text: its texts and positions, and what was measured on them."""

    name: str
    texts: int
    tokens: int
    mean_kl: float
    upper_kl: float
    perplexity_ratio: float
    top1_agreement: float


class TaskScore(Frozen):
    """Base and candidate on the items of one task.

    Attributes:
        name: of the task.
        kind: `exact_match`: share of right answers; `perplexity`: of its texts.
        items: how many, answered by both.
        base: the base's score.
        candidate: the candidate's.
        change: right answers of the candidate less the base's, as a share of the items; the ratio
            of perplexities.
        lower: one-sided bound below which the true change is not.
        upper: one above which it is not.
        lost: items that the base alone answers rightly.
        gained: items that the candidate alone answers rightly.
        p_value: exact McNemar test against flips being as likely one way as the other.
    """

    name: str
    kind: Literal["exact_match", "perplexity"]
    items: int
    base: float
    candidate: float
    change: float
    lower: float
    upper: float
    lost: int = 0
    gained: int = 0
    p_value: float | None = None

    @property
    def recovery(self) -> float | None:
        """Share of the base's score; None where the base has none."""
        if self.kind == "perplexity":
            return self.base / self.candidate
        return self.candidate / self.base if self.base else None


class ValidateRecord(StageRecord):
    """Evidence for or against the release.

    Attributes:
        verdict: ACCEPT, or LINT_ONLY where the recipe has nothing measured; anything else is an
            error, not a record.
        checks: everything that was checked.
        metrics: the comparison; None where nothing was measured, as all that follows.
        measures: what of it has a limit, with bounds.
        strata: the comparison by kind of text.
        tasks: base and candidate on each task.
        confidence: of each one-sided bound.
        kernel: the kernel that ran NVFP4, as vLLM names it.
        numerics: what that means for activations.
        engine: serving engine and version.
    """

    verdict: Verdict
    checks: tuple[Check, ...]
    metrics: Metrics | None = None
    measures: tuple[Measure, ...] = ()
    strata: tuple[Stratum, ...] = ()
    tasks: tuple[TaskScore, ...] = ()
    confidence: float = 0.95
    kernel: str = ""
    numerics: Literal["W4A4 native", "W4A4 emulated", "W4A16"] | None = None
    engine: str = ""

    @property
    def measured(self) -> bool:
        """Whether the release's quality was measured; if not, it may be published privately."""
        return self.verdict != LINT_ONLY
