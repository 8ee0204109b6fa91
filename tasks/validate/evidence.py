"""What validation found, in one file: verdict, checks, metrics, texts."""

from collections.abc import Sequence
from typing import Literal

from tasks.core.manifest import Frozen
from tasks.core.recipe import Limits
from tasks.core.records import Check, Metrics
from tasks.validate.compare import Bounds, Comparison, TextResult
from tasks.validate.kernel import Numerics

Verdict = Literal["ACCEPT", "REGRESSION"]


class Evidence(Frozen):
    """Everything that speaks for or against a candidate.

    Attributes:
        base: what it was made from, for people.
        candidate: what was judged, for people.
        engine: serving engine and version; empty where nothing was served.
        kernel: the NVFP4 kernel that ran; empty where none did.
        numerics: what the kernel computes.
        checks: all checks, in the order they were made.
        metrics: the comparison; None where it did not come to one.
        bounds: 95% bounds of the metrics.
        texts: each held-out text.
        seconds: how long each part took, by name.
    """

    base: str
    candidate: str
    engine: str = ""
    kernel: str = ""
    numerics: Numerics | None = None
    checks: tuple[Check, ...]
    metrics: Metrics | None = None
    bounds: Bounds | None = None
    texts: tuple[TextResult, ...] = ()
    seconds: dict[str, float]

    @property
    def failed(self) -> list[Check]:
        """The checks that did not hold."""
        return [check for check in self.checks if not check.passed]

    @property
    def verdict(self) -> Verdict:
        """ACCEPT when everything was checked and held."""
        return "REGRESSION" if self.failed or self.metrics is None else "ACCEPT"


def check_limits(comparison: Comparison, limits: Limits) -> list[Check]:
    """The recipe's limits, against the 95% bounds: what cannot be shown to hold does not hold."""
    metrics, bounds = comparison.metrics, comparison.bounds
    rows: Sequence[tuple[str, str, float, float, float, bool]] = (
        ("mean KL", "at most", metrics.mean_kl, bounds.mean_kl, limits.mean_kl, True),
        (
            "perplexity ratio", "at most", metrics.perplexity_ratio,
            bounds.perplexity_ratio, limits.perplexity_ratio, True,
        ),
        (
            "top-1 agreement", "at least", metrics.top1_agreement,
            bounds.top1_agreement, limits.top1_agreement, False,
        ),
    )  # fmt: skip
    return [
        Check(
            name=name,
            passed=bound <= limit if upper else bound >= limit,
            seen=f"{value:.5f}, with 95% confidence {words} {bound:.5f}",
            required=f"{words} {limit:g}",
        )
        for name, words, value, bound, limit, upper in rows
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
