"""Paired answers: bounds against known truth, McNemar and Holm against statsmodels' own tables."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from statsmodels.stats.contingency_tables import mcnemar as tabled

from tasks.validate.statistics.paired import Flips, items_lost, mcnemar

RUNS, RESAMPLES = 300, 1_000
CASES = [(16, 0.05, 0.0), (32, 0.03, 0.03), (32, 0.1, 0.02), (200, 0.03, 0.02)]


@pytest.mark.parametrize(("items", "lost", "gained"), CASES)
def test_bounds_cover_the_true_loss(items: int, lost: float, gained: float) -> None:
    """Upper 95% bounds of the share of items lost hold in 93% of the runs or more.

    Bounds without the two added items hold in 57% of the runs of the first case.
    """
    draw = np.random.default_rng(5)
    held = 0
    for run in range(RUNS):
        losses = draw.choice([1.0, -1.0, 0.0], p=[lost, gained, 1 - lost - gained], size=items)
        found = items_lost(losses.tolist(), run, RESAMPLES)
        held += lost - gained <= found.upper(0.95)
    assert held >= 0.93 * RUNS


def test_no_flip_is_no_proof() -> None:
    """Items none of which flipped bound the loss by what their number can show, not by nothing."""
    few, many = (items_lost([0.0] * count, 1) for count in (16, 256))
    assert few.value == many.value == 0
    assert 0.08 < few.upper(0.95) < 0.25
    assert 0 < many.upper(0.95) < 0.02
    assert few.lower(0.95) == pytest.approx(-few.upper(0.95), abs=0.02)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_mcnemar_is_that_of_other_code(answers: list[tuple[bool, bool]]) -> None:
    """It equals statsmodels' test of the whole table, and scipy's binomial test of the flips."""
    table = np.zeros((2, 2))
    for before, after in answers:
        table[1 - before, 1 - after] += 1
    lost, gained = int(table[0, 1]), int(table[1, 0])
    found = mcnemar(Flips(items=len(answers), lost=lost, gained=gained))
    assert found == pytest.approx(float(tabled(table, exact=True).pvalue))
    if lost + gained:
        assert found == pytest.approx(float(binomtest(lost, lost + gained).pvalue))
