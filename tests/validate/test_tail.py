"""The limit of the 99th percentile: damage of few positions that a mean does not show."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from tasks.validate.compare import Comparison, compare
from tasks.validate.logprobs import TextLogprobs
from tasks.validate.measures import Judged, judge
from tests.validate.evidences import LIMITS

TEXTS, TOKENS = 40, 100
P99 = 0.3
BASE = (0.6, 0.3)
"""Of the two likeliest ids; all others share the rest, in base and candidate alike."""
FAR = 0.5
"""Probability that a damaged position moves from the first id to the second."""
LIMIT = LIMITS.model_copy(update={"p99_kl": P99, "flips": None, "stratum_kl": None})
NAME = f"positions beyond a KL of {P99:g}"


def divergence(moved: float) -> float:
    """KL of a position, from its definition; the rest's share cancels out."""
    first, second = BASE
    return first * math.log(first / (first - moved)) + second * math.log(second / (second + moved))


def candidate(share: float, everywhere: float = 0.0) -> list[TextLogprobs]:
    """Texts of which a share of positions moved far, and all others moved by `everywhere`."""
    draw = np.random.default_rng(7)
    return [model(np.where(draw.random(TOKENS) < share, FAR, everywhere)) for _ in range(TEXTS)]


def model(moved: NDArray[np.float64]) -> TextLogprobs:
    """A text's log-probabilities after each position moved."""
    first, second = BASE
    shares = np.stack([first - moved, second + moved], 1)
    order = np.argsort(-shares, axis=1)
    return TextLogprobs(
        tokens=np.zeros(TOKENS, np.int32),
        actual=np.log(shares[:, 0]).astype(np.float32),
        ids=order.astype(np.int32),
        logprobs=np.log(np.take_along_axis(shares, order, 1)).astype(np.float32),
    )


def judged(found: list[TextLogprobs]) -> tuple[Comparison, Judged]:
    """The gate's own comparison and decisions."""
    base = [model(np.zeros(TOKENS)) for _ in range(TEXTS)]
    comparison = compare(base, found, ["text"] * TEXTS, p99_kl=P99)
    return comparison, judge(comparison.texts, LIMIT, seed=1, confidence=0.975, budget=TEXTS)


def decision(found: list[TextLogprobs], name: str) -> str:
    """What is decided of one measure."""
    return next(m.decision for m in judged(found)[1].measures if m.name == name)


def even(mean: float) -> float:
    """How far every position has to move for a mean KL."""
    moves = [FAR * n / 20_000 for n in range(20_000)]
    return next(moved for moved in moves if divergence(moved) >= mean)


def test_a_tail_is_caught_that_the_mean_hides() -> None:
    """Two candidates of one mean KL, far below its limit: the one with the tail alone fails."""
    tailed = candidate(0.03)
    comparison, _ = judged(tailed)
    fine = candidate(0.0, even(comparison.metrics.mean_kl))
    again, _ = judged(fine)
    assert again.metrics.mean_kl == pytest.approx(comparison.metrics.mean_kl, rel=1e-2)
    assert comparison.metrics.mean_kl < LIMIT.mean_kl / 2
    assert decision(tailed, "mean KL") == decision(fine, "mean KL") == "holds"
    assert (decision(tailed, NAME), decision(fine, NAME)) == ("fails", "holds")
    assert comparison.metrics.p99_kl == pytest.approx(divergence(FAR), rel=1e-3)
    assert again.metrics.p99_kl < P99


@pytest.mark.parametrize(
    ("share", "want"), [(0.001, "holds"), (0.010, "undecided"), (0.03, "fails")]
)
def test_the_limit_is_of_one_position_in_a_hundred(share: float, want: str) -> None:
    """Far fewer hold, about as many are left open, and three times as many fail."""
    assert decision(candidate(share), NAME) == want


def test_one_text_alone_refuses_nothing() -> None:
    """A tail that lies in one text alone is one source: it does not refuse a release by itself."""
    all_in_one = [model(np.full(TOKENS, FAR)), *candidate(0.0)[1:]]
    comparison, _ = judged(all_in_one)
    assert comparison.metrics.p99_kl > P99
    assert decision(all_in_one, NAME) == "undecided"
