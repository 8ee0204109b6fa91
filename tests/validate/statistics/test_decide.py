"""Decisions and verdicts: what is shown, what is not, and how often they err."""

import gc
from collections.abc import Iterator

import numpy as np
import pytest
from scipy import stats

from tasks.validate.statistics.bootstrap import Bootstrap, weighted_mean
from tasks.validate.statistics.decide import Criterion, Decision, decide, verdict
from tasks.validate.statistics.paired import Flips, holm, mcnemar
from tasks.validate.statistics.power import detectable, items_needed


def sample(
    mean: float, spread: float, sources: int = 64, seed: int = 0, resamples: int = 2_000
) -> Bootstrap:
    values = np.random.default_rng(seed).normal(mean, spread, sources)
    return weighted_mean(values, np.ones(sources), seed=seed, resamples=resamples)


def kl(found: Bootstrap, family: str = "") -> Criterion:
    return Criterion("mean KL", found, "at most", 0.1, 0.0, family)


@pytest.mark.parametrize(
    ("mean", "spread", "want"),
    [(0.05, 0.05, "holds"), (0.2, 0.05, "fails"), (0.1, 0.1, "undecided")],
)
def test_three_decisions(mean: float, spread: float, want: Decision) -> None:
    """A limit is kept, broken or neither, as the whole interval lies; both directions alike."""
    found = sample(mean, spread)
    assert decide([kl(found)], 0.95) == [want]
    low = Criterion("top-1", sample(1 - mean, spread), "at least", 0.9, 1.0)
    assert decide([low], 0.95) == [want]


def test_worse_than_the_control_needs_proof() -> None:
    """What must be shown to harm holds while it is open, and fails once it is shown."""
    open_, harmed = sample(0.0, 0.1), sample(0.1, 0.1)
    found = [Criterion("x", each, "at most", 0.0, 0.0, proven="harm") for each in (open_, harmed)]
    assert decide(found, 0.95) == ["holds", "fails"]


@pytest.fixture
def frozen_heap() -> Iterator[None]:
    """Objects made so far are not looked through: statsmodels collects garbage at each call."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("frozen_heap")
def test_many_strata_do_not_refuse_by_chance() -> None:
    """Eight strata at their limit refuse a release in at most 7% of 400 runs; without Holm more."""
    refused = {"strata": 0, "": 0}
    for run in range(400):
        groups = [sample(0.1, 0.05, 24, 8 * run + n, resamples=500) for n in range(8)]
        for family in refused:
            refused[family] += "fails" in decide([kl(each, family) for each in groups], 0.95)
    assert refused["strata"] <= 28
    assert refused[""] > 80


@pytest.mark.parametrize(
    ("facts", "want"),
    [
        ({}, "ACCEPT"),
        ({"broken": True, "anomalous": True}, "REGRESSION"),
        ({"anomalous": True, "decisions": ["fails"]}, "ANOMALOUS"),
        ({"decisions": ["holds", "undecided", "fails"]}, "REGRESSION"),
        ({"decisions": ["holds", "undecided"]}, "INCONCLUSIVE"),
        ({"decisions": ["undecided"], "feasible": False}, "INFEASIBLE"),
    ],
)
def test_one_verdict(facts: dict[str, object], want: str) -> None:
    """What broke comes first, then what cannot be trusted, what is shown, and what is open."""
    known: dict[str, object] = {
        "broken": False, "anomalous": False, "decisions": ["holds"], "feasible": True
    }  # fmt: skip
    assert verdict(**(known | facts)) == want  # type: ignore[arg-type]


def test_a_limit_nearer_than_the_noise_is_infeasible() -> None:
    """A limit that a lossless candidate could not be shown to keep is told apart from doubt."""
    noisy = kl(sample(0.1, 1.0))
    assert not noisy.feasible(0.95, more=2)
    assert noisy.feasible(0.95, more=200)


@pytest.mark.parametrize(("lost", "gained"), [(0, 0), (9, 1), (30, 12), (5, 5), (120, 80)])
def test_mcnemar_is_the_binomial_test(lost: int, gained: int) -> None:
    """The exact test equals scipy's two-sided binomial test of the flips."""
    p = mcnemar(Flips(items=1_000, lost=lost, gained=gained))
    flips = lost + gained
    assert p == pytest.approx(stats.binomtest(lost, flips).pvalue if flips else 1.0)


def test_flips_count_both_ways() -> None:
    """Discordance adds what was lost and gained, the difference subtracts them."""
    flips = Flips(items=200, lost=8, gained=4)
    assert (flips.discordance, flips.difference) == (0.06, -0.02)


def test_holm_by_hand() -> None:
    """The smallest p-value is multiplied by their number, the next by one less, never falling."""
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([]) == []


def test_items_that_a_margin_takes() -> None:
    """The published table: at 6% discordance 3,710 items for one point, 413 for three."""
    assert items_needed(0.06, 0.01) == pytest.approx(3_710, abs=2)
    assert items_needed(0.06, 0.03) == pytest.approx(413, abs=1)


def test_damage_of_the_detectable_size_is_detected() -> None:
    """A shift of that size is shown in 80% of 1,000 simulated tests, give or take 4."""
    shift = detectable(1.0, 0.95)
    draws = np.random.default_rng(0).normal(shift, 1.0, 1_000)
    assert 760 <= (draws > stats.norm.ppf(0.95)).sum() <= 840
