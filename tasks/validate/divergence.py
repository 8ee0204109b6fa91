"""KL divergence of two served models at each position, from their top-k log-probabilities.

Let p be the base's distribution at a position, q the candidate's, S the ids whose probability both
servers told (the base's top k, the token that stands there, as far as the candidate's longer list
holds them), P = 1 - sum over S of p, and Q alike.

    KL = sum over S of p (log p - log q) + P log(P / Q)

is the divergence of the two distributions after all other ids are put into one bucket, so by the
log-sum inequality it is never negative and never more than the full divergence (Cover and Thomas,
Elements of Information Theory, theorems 2.7.1 and 2.8.1).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.validate.logprobs import TextLogprobs

SMALLEST = 1e-6
"""Least mass of a tail: what is left of 1 below this is rounding of the servers' float32."""
ABSENT = -1
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Divergence:
    """At each of n positions.

    Attributes:
        kl: float64 [n], nats, not below 0.
        covered: float64 [n], the base's probability of the ids that are compared one by one.
    """

    kl: Floats
    covered: Floats


def divergence(base: TextLogprobs, candidate: TextLogprobs) -> Divergence:
    """Compare two models position by position.

    Args:
        base: of n positions.
        candidate: of the same tokens; its k may be larger.
    """
    base_ids, p = _known(base)
    candidate_ids, q = _known(candidate)
    same = base_ids[:, :, None] == candidate_ids[:, None, :]  # [n, k + 1, k' + 1]
    q = np.where(same & (base_ids != ABSENT)[:, :, None], q[:, None, :], -np.inf).max(-1)
    shared = np.isfinite(q)
    p, q = np.where(shared, p, -np.inf), np.where(shared, q, -np.inf)
    gaps = np.subtract(p, q, out=np.zeros_like(p), where=shared)
    tail, other = _tail(p), _tail(q)
    found: Floats = (np.exp(p) * gaps).sum(-1) + tail * np.log(tail / other)
    return Divergence(found.clip(min=0), np.exp(p).sum(-1).clip(max=1))


def _known(text: TextLogprobs) -> tuple[NDArray[np.int32], Floats]:
    """Ids and log-probabilities [n, k + 1]: the token that stands there, then the others."""
    others = np.where(text.ids == text.tokens[:, None], ABSENT, text.ids)
    ids = np.concatenate([text.tokens[:, None], others], axis=1)
    return ids, np.concatenate([text.actual[:, None], text.logprobs], axis=1).astype(np.float64)


def _tail(logprobs: Floats) -> Floats:
    found: Floats = (1 - np.exp(logprobs).sum(-1)).clip(min=SMALLEST)
    return found
