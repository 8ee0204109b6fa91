"""Divergence and measures, against full distributions that servers cut to their top k."""

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from tasks.validate.compare import SURE, compare
from tasks.validate.divergence import divergence
from tasks.validate.logprobs import TextLogprobs, load, parse, save

VOCABULARY = 24
Logits = NDArray[np.float64]
LOGITS = arrays(np.float64, (5, VOCABULARY), elements=st.floats(-8, 8))
TOKENS = st.lists(st.integers(0, VOCABULARY - 1), min_size=5, max_size=5)


def log_softmax(logits: Logits) -> Logits:
    shifted = logits - logits.max(-1, keepdims=True)
    found: Logits = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return found


def answer(logits: Logits, tokens: list[int], k: int) -> list[dict[str, Any] | None]:
    """What vLLM answers: null, then for each position the top k and the token that stands there."""
    positions: list[dict[str, Any] | None] = [None]
    for row, token in zip(log_softmax(logits), tokens, strict=True):
        told = {token, *np.argsort(-row, kind="stable")[:k].tolist()}
        positions.append({str(i): {"logprob": row[i], "rank": 0} for i in told})
    return positions


def cut(logits: Logits, tokens: list[int], k: int) -> TextLogprobs:
    return parse(answer(logits, tokens, k), [0, *tokens], k)


def by_hand(p: Logits, q: Logits, token: int, ks: tuple[int, int]) -> tuple[float, float]:
    """The formula at one position, id by id, and how well float32 lets it be known.

    Servers tell log-probabilities in float32, so a tail is known to 2^-23, and its logarithm to
    that over the tail.
    """
    lp, lq = log_softmax(p), log_softmax(q)
    tops = [
        np.argsort(-side, kind="stable")[:k].tolist() for side, k in zip((lp, lq), ks, strict=True)
    ]
    shared = ({*tops[0]} & {*tops[1]}) | {token}
    mass = max(1 - sum(np.exp(lp[i]) for i in shared), 1e-6)
    other = max(1 - sum(np.exp(lq[i]) for i in shared), 1e-6)
    told = sum(np.exp(lp[i]) * (lp[i] - lq[i]) for i in shared)
    return max(told + mass * np.log(mass / other), 0), 1e-4 + mass * 2**-23 / other


@given(p=LOGITS, q=LOGITS, tokens=TOKENS, k=st.integers(1, VOCABULARY))
def test_divergence_is_a_lower_bound(p: Logits, q: Logits, tokens: list[int], k: int) -> None:
    """It is never negative and never above the full KL divergence, whatever k cuts away."""
    full = (np.exp(log_softmax(p)) * (log_softmax(p) - log_softmax(q))).sum(-1)
    found = divergence(cut(p, tokens, k), cut(q, tokens, k))
    assert (found.kl >= 0).all()
    wide = min(2 * k, VOCABULARY)
    wider = divergence(cut(p, tokens, k), cut(q, tokens, wide))
    for row, token in enumerate(tokens):
        for kl, told in ((found.kl, k), (wider.kl, wide)):
            assert kl[row] <= full[row] + by_hand(p[row], q[row], token, (k, told))[1]
    assert (wider.covered >= found.covered - 1e-6).all()


@given(p=LOGITS, q=LOGITS, tokens=TOKENS)
def test_divergence_of_whole_distributions_is_exact(
    p: Logits, q: Logits, tokens: list[int]
) -> None:
    """With k the whole vocabulary it is the KL divergence itself."""
    full = (np.exp(log_softmax(p)) * (log_softmax(p) - log_softmax(q))).sum(-1)
    found = divergence(cut(p, tokens, VOCABULARY), cut(q, tokens, VOCABULARY))
    assert found.kl == pytest.approx(full, abs=1e-4)
    assert found.covered == pytest.approx(1, abs=1e-5)


FLAT = np.zeros((5, VOCABULARY))
SURE_OF_TWO = np.tile([6.0, 8.0] + [-5.0] * (VOCABULARY - 2), (5, 1))


@given(p=LOGITS, q=LOGITS, tokens=TOKENS, k=st.integers(1, VOCABULARY - 1))
@example(p=FLAT, q=SURE_OF_TWO, tokens=[0] * 5, k=2)
def test_divergence_by_hand(p: Logits, q: Logits, tokens: list[int], k: int) -> None:
    """It equals the formula worked out id by id, in plain Python."""
    found = divergence(cut(p, tokens, k), cut(q, tokens, k))
    for row, token in enumerate(tokens):
        want, known = by_hand(p[row], q[row], token, (k, k))
        assert found.kl[row] == pytest.approx(want, abs=known)


@given(p=LOGITS, tokens=TOKENS, k=st.integers(1, VOCABULARY))
def test_a_model_does_not_differ_from_itself(p: Logits, tokens: list[int], k: int) -> None:
    """Equal answers diverge by nothing, agree everywhere, and have the ratio 1."""
    text = cut(p, tokens, k)
    found = compare([text], [text])
    assert found.metrics.mean_kl == 0
    assert found.metrics.perplexity_ratio == 1
    assert found.metrics.top1_agreement == 1
    assert found.metrics.flips == 0


def _texts(spread: list[float], lengths: list[int]) -> tuple[list[TextLogprobs], ...]:
    """Bases and candidates; a candidate's logits differ by noise of the given spread."""
    rng = np.random.default_rng(0)
    bases, candidates = [], []
    for sigma, length in zip(spread, lengths, strict=True):
        logits = rng.normal(0, 4, (length, VOCABULARY))
        tokens = rng.integers(VOCABULARY, size=length).tolist()
        bases.append(cut(logits, tokens, 8))
        candidates.append(cut(logits + rng.normal(0, sigma, logits.shape), tokens, 8))
    return bases, candidates


def test_metrics_weigh_every_position_alike() -> None:
    """Means over texts of unequal length are those over all positions together."""
    bases, candidates = _texts([0.1, 0.5, 1.0], [7, 30, 180])
    metrics = compare(bases, candidates).metrics
    kl = np.concatenate([divergence(b, c).kl for b, c in zip(bases, candidates, strict=True)])
    loss = [np.concatenate([t.actual for t in texts]) for texts in (bases, candidates)]
    assert metrics.tokens == 217
    assert metrics.mean_kl == pytest.approx(kl.mean())
    assert metrics.p99_kl == pytest.approx(np.quantile(kl, 0.99))
    assert metrics.median_kl == pytest.approx(np.median(kl))
    assert metrics.perplexity == pytest.approx(np.exp(-loss[1].mean()), rel=1e-5)
    assert metrics.perplexity_ratio == pytest.approx(
        np.exp(loss[0].mean() - loss[1].mean()), rel=1e-5
    )


def test_positions_are_counted_one_by_one() -> None:
    """Agreement, sure positions, and flips both ways equal a count over all positions."""
    bases, candidates = _texts([0.4, 1.5], [60, 90])
    found = compare(bases, candidates, ["code", "science"])
    rows = [
        (b.ids[n, 0], c.ids[n, 0], b.tokens[n], b.logprobs[n, 0] >= SURE)
        for b, c in zip(bases, candidates, strict=True)
        for n in range(len(b.tokens))
    ]
    same = [x == y for x, y, _, _ in rows]
    sure = [agree for agree, row in zip(same, rows, strict=True) if row[3]]
    flips = sum((x == token) != (y == token) for x, y, token, _ in rows)
    assert found.metrics.top1_agreement == pytest.approx(np.mean(same))
    assert found.metrics.sure_agreement == pytest.approx(np.mean(sure))
    assert found.metrics.flips == pytest.approx(flips / len(rows))
    assert sum(text.sure for text in found.texts) == len(sure) > 0
    assert [text.stratum for text in found.texts] == ["code", "science"]


def test_logprobs_survive_a_file(tmp_path: Any) -> None:
    """What was measured is read back bit for bit, in order."""
    bases, _ = _texts([0.1] * 12, list(range(3, 15)))
    save(tmp_path / "results.safetensors", bases)
    again = load(tmp_path / "results.safetensors")
    for before, after in zip(bases, again, strict=True):
        for name, values in vars(before).items():
            np.testing.assert_array_equal(values, getattr(after, name))
