"""Base against candidate, position by position: divergence, perplexity, agreement.

Let p be the base's distribution at a position, q the candidate's, S the ids whose probability both
servers told (top-k of each, and the token that stands there), P = 1 - sum over S of p, and Q alike.

    KL = sum over S of p (log p - log q) + P log(P / Q)

is the divergence of the two distributions after all other ids are put into one bucket, so by the
log-sum inequality it is never negative and never more than the full divergence (Cover and Thomas,
Elements of Information Theory, theorems 2.7.1 and 2.8.1).

Bounds come from resampling whole texts: positions of one text are alike, so a bound from single
positions would be too narrow.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.core.manifest import Frozen
from tasks.core.records import Metrics
from tasks.validate.logprobs import TextLogprobs

SMALLEST = 1e-6
"""Least mass of a tail: what is left of 1 below this is rounding of the servers' float32."""
RESAMPLES, CONFIDENCE, SEED = 10_000, 0.95, 42
ABSENT = -1
Floats = NDArray[np.float64]


class TextResult(Frozen):
    """One held-out text: positions, mean KL, mean losses in nats a token, top-1 agreement."""

    tokens: int
    mean_kl: float
    base_loss: float
    loss: float
    top1_agreement: float


class Bounds(Frozen):
    """One-sided 95% bounds of the metrics: upper, upper and lower."""

    mean_kl: float
    perplexity_ratio: float
    top1_agreement: float


@dataclass(frozen=True)
class Comparison:
    """All texts together, the bounds, and each text."""

    metrics: Metrics
    bounds: Bounds
    texts: tuple[TextResult, ...]


def divergence(base: TextLogprobs, candidate: TextLogprobs) -> Floats:
    """KL divergence at each position.

    Args:
        base: of n positions.
        candidate: of the same tokens.

    Returns:
        float64 [n], nats, not below 0.
    """
    base_ids, p = _known(base)
    candidate_ids, q = _known(candidate)
    same = base_ids[:, :, None] == candidate_ids[:, None, :]  # [n, k + 1, k + 1]
    q = np.where(same & (base_ids != ABSENT)[:, :, None], q[:, None, :], -np.inf).max(-1)
    shared = np.isfinite(q)
    p, q = np.where(shared, p, -np.inf), np.where(shared, q, -np.inf)
    gaps = np.subtract(p, q, out=np.zeros_like(p), where=shared)
    tail, other = _tail(p), _tail(q)
    found: Floats = (np.exp(p) * gaps).sum(-1) + tail * np.log(tail / other)
    return found.clip(min=0)


def _known(text: TextLogprobs) -> tuple[NDArray[np.int32], Floats]:
    """Ids and log-probabilities [n, k + 1]: the token that stands there, then the others."""
    others = np.where(text.ids == text.tokens[:, None], ABSENT, text.ids)
    ids = np.concatenate([text.tokens[:, None], others], axis=1)
    return ids, np.concatenate([text.actual[:, None], text.logprobs], axis=1).astype(np.float64)


def _tail(logprobs: Floats) -> Floats:
    found: Floats = (1 - np.exp(logprobs).sum(-1)).clip(min=SMALLEST)
    return found


def compare(base: Sequence[TextLogprobs], candidate: Sequence[TextLogprobs]) -> Comparison:
    """Compare two models on the same texts; at least one, with the same k.

    Args:
        base: what the base expects in each text.
        candidate: what the candidate expects.
    """
    pairs = list(zip(base, candidate, strict=True))
    kl = [divergence(b, c) for b, c in pairs]
    agree = [b.ids[:, 0] == c.ids[:, 0] for b, c in pairs]
    texts = tuple(
        TextResult(
            tokens=len(b.tokens),
            mean_kl=float(d.mean()),
            base_loss=_loss(b),
            loss=_loss(c),
            top1_agreement=float(a.mean()),
        )
        for (b, c), d, a in zip(pairs, kl, agree, strict=True)
    )
    return Comparison(_metrics(base[0].ids.shape[1], texts, kl), _bounds(texts), texts)


def _loss(text: TextLogprobs) -> float:
    return float(-text.actual.mean(dtype=np.float64))


def _metrics(k: int, texts: Sequence[TextResult], kl: Sequence[Floats]) -> Metrics:
    table = _table(texts)
    mean_kl, base_loss, loss, top1 = (float(v) for v in _weighted(table)[0])
    return Metrics(
        k=k,
        texts=len(texts),
        tokens=sum(text.tokens for text in texts),
        base_perplexity=float(np.exp(base_loss)),
        perplexity=float(np.exp(loss)),
        perplexity_ratio=float(np.exp(loss - base_loss)),
        mean_kl=mean_kl,
        p99_kl=float(np.quantile(np.concatenate(kl), 0.99)),
        top1_agreement=top1,
    )


def _bounds(texts: Sequence[TextResult]) -> Bounds:
    table = _table(texts)
    draws = np.random.default_rng(SEED).integers(len(texts), size=(RESAMPLES, len(texts)))
    mean_kl, base_loss, loss, top1 = _weighted(table[draws]).T
    return Bounds(
        mean_kl=float(np.quantile(mean_kl, CONFIDENCE)),
        perplexity_ratio=float(np.exp(np.quantile(loss - base_loss, CONFIDENCE))),
        top1_agreement=float(np.quantile(top1, 1 - CONFIDENCE)),
    )


def _table(texts: Sequence[TextResult]) -> Floats:
    """[texts, 5]: tokens, KL, base's loss, loss, agreement."""
    return np.asarray(
        [(t.tokens, t.mean_kl, t.base_loss, t.loss, t.top1_agreement) for t in texts], np.float64
    )


def _weighted(tables: Floats) -> Floats:
    """Means over texts, weighted by their tokens: [..., texts, 5] to [samples, 4]."""
    weights = tables[..., :1] / tables[..., :1].sum(-2, keepdims=True)
    found: Floats = (tables[..., 1:] * weights).sum(-2).reshape(-1, 4)
    return found
