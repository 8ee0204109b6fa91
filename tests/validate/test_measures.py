"""Measures: their values over texts, their limits, and what the bounds decide."""

import math

import numpy as np
import pytest

from tasks.core.recipe_validation import Limits
from tasks.validate.compare import TextResult
from tasks.validate.gate import looks
from tasks.validate.measures import gain, judge, noise, strata
from tests.validate.evidences import LIMITS, texts

LOOSE = Limits(mean_kl=9, perplexity_ratio=9, top1_agreement=0, control_ratio=None)


def decisions(measured: list[TextResult], **limits: float) -> dict[str, str]:
    found = judge(
        measured, LOOSE.model_copy(update=limits), seed=1, confidence=0.95, budget=len(measured)
    )
    return {measure.name: measure.decision for measure in found.measures}


def test_values_are_means_over_positions() -> None:
    """Each measure's value is the mean over all positions, and lies inside its interval."""
    measured = texts()
    found = {m.name: m for m in judge(
        measured, LIMITS, seed=1, confidence=0.95, budget=24
    ).measures}  # fmt: skip
    assert found["mean KL"].value == pytest.approx(np.mean([t.mean_kl for t in measured]))
    ratio = math.exp(np.mean([t.loss - t.base_loss for t in measured]))
    assert found["perplexity ratio"].value == pytest.approx(ratio)
    assert found["perplexity ratio"].limit == pytest.approx(1.08)
    assert found["flips"].value == pytest.approx(11 / 150)
    assert set(found) == {
        "mean KL", "perplexity ratio", "top-1 agreement", "top-1 where the base is sure", "flips",
        "KL beyond the control's", "mean KL, dialogue", "mean KL, tool calls", "mean KL, science",
    }  # fmt: skip
    assert all(m.lower <= m.value <= m.upper for m in found.values())
    assert {m.decision for m in found.values()} == {"holds"}


@pytest.mark.parametrize(
    ("name", "limit", "keeps", "encloses", "breaks"),
    [
        ("mean KL", "mean_kl", 0.06, 0.0499, 0.04),
        ("perplexity ratio", "perplexity_ratio", 1.04, 1.0253, 1.01),
        ("top-1 agreement", "top1_agreement", 0.9, 0.935, 0.97),
        ("top-1 where the base is sure", "sure_agreement", 0.98, 0.995, 0.9999),
    ],
)
def test_each_limit_decides(
    name: str, limit: str, keeps: float, encloses: float, breaks: float
) -> None:
    """A limit beyond the interval holds, one inside it is undecided, one short of it fails."""
    measured = texts()
    found = [decisions(measured, **{limit: value})[name] for value in (keeps, encloses, breaks)]
    assert found == ["holds", "undecided", "fails"]


def test_a_stratum_alone_can_fail() -> None:
    """One kind of text that is broken refuses a release whose mean is within the limit."""
    measured = [
        text.model_copy(
            update={"mean_kl": text.mean_kl * (6 if text.stratum == "science" else 0.2)}
        )
        for text in texts()
    ]
    found = decisions(measured, mean_kl=0.2, stratum_kl=0.2)
    assert found["mean KL"] == "holds"
    assert found["mean KL, science"] == "fails"
    assert found["mean KL, dialogue"] == "holds"


def test_tuning_that_harms_is_seen_beside_the_control() -> None:
    """A candidate worse than rounding to nearest fails; one not shown to be worse holds."""
    name = "KL beyond the control's"
    assert decisions(texts(0.05, 0.04), control_ratio=1.0)[name] == "fails"
    assert decisions(texts(0.05, 0.06), control_ratio=1.0)[name] == "holds"
    assert name not in decisions(texts(0.05, None), control_ratio=1.0)


def test_noise_and_gain_are_bounds() -> None:
    """The floor's lower bound and the gain's upper one, from the same texts."""
    noisy = [t.model_copy(update={"floor_kl": 0.03 + 0.001 * n}) for n, t in enumerate(texts())]
    own = noise(noisy, seed=1, confidence=0.95)
    assert own is not None
    assert 0.03 < own < 0.0415
    better = [t.model_copy(update={"loss": t.base_loss - 0.1}) for t in texts()]
    assert gain(better, seed=1, confidence=0.95) == pytest.approx(math.exp(-0.1))
    unknown = [t.model_copy(update={"floor_kl": None}) for t in noisy]
    assert noise(unknown, seed=1, confidence=0.95) is None


def test_strata_add_up() -> None:
    """Strata hold every text once, and their means weigh up to the whole."""
    measured = texts()
    found = strata(measured, seed=1, confidence=0.95)
    assert sum(row.texts for row in found) == 24
    whole = sum(row.mean_kl * row.tokens for row in found) / sum(row.tokens for row in found)
    assert whole == pytest.approx(np.mean([t.mean_kl for t in measured]))
    assert all(row.mean_kl < row.upper_kl for row in found)


@pytest.mark.parametrize(
    ("first", "most", "want"), [(48, 48, [48]), (60, 120, [60, 120]), (50, 180, [50, 100, 180])]
)
def test_looks_double(first: int, most: int, want: list[int]) -> None:
    """Each look has twice the texts of the one before, the last has all."""
    assert looks(first, most) == want
