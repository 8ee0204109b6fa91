"""Base against candidate on every held-out text: divergence, loss, agreement, flips."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tasks.core.gate_records import Metrics
from tasks.core.manifest import Frozen
from tasks.validate.divergence import Floats, divergence
from tasks.validate.logprobs import TextLogprobs

SURE = float(np.log(0.9))
"""Log-probability from which on the base is sure of its likeliest token."""


class TextResult(Frozen):
    """One held-out text.

    Attributes:
        stratum: its kind.
        tokens: positions.
        mean_kl: nats a token.
        base_loss: of the base, nats a token.
        loss: of the candidate.
        top1_agreement: share of positions whose likeliest token is the same.
        sure: positions where the base is sure.
        sure_agreement: share of those; 1 where there are none.
        lost: positions whose token the base has likeliest, and the candidate has not.
        gained: the other way round.
        floor_kl: mean KL of the base against itself, served a second time; None if not measured.
        control_kl: of the control, weights rounded to nearest; None if not measured.
        beyond: positions whose KL is above the recipe's limit of the 99th percentile; None without.
    """

    stratum: str = "text"
    tokens: int
    mean_kl: float
    base_loss: float
    loss: float
    top1_agreement: float
    sure: int
    sure_agreement: float
    lost: int
    gained: int
    floor_kl: float | None = None
    control_kl: float | None = None
    beyond: int | None = None


@dataclass(frozen=True)
class Comparison:
    """All texts together, each text, and the divergence at each of its positions."""

    metrics: Metrics
    texts: tuple[TextResult, ...]
    kl: tuple[Floats, ...]


def compare(
    base: Sequence[TextLogprobs],
    candidate: Sequence[TextLogprobs],
    strata: Sequence[str] | None = None,
    *,
    floor: Sequence[TextLogprobs] | None = None,
    control: Sequence[TextLogprobs] | None = None,
    p99_kl: float | None = None,
) -> Comparison:
    """Compare two models on the same texts, of which there is at least one.

    Args:
        base: what the base expects in each text.
        candidate: what the candidate expects.
        strata: kind of each text; `text` where not given.
        floor: what the base expects when it is asked again.
        control: what the base with weights rounded to nearest expects.
        p99_kl: nats beyond which positions are counted; None counts none.
    """
    kinds = strata or ["text"] * len(base)
    found = [divergence(b, c) for b, c in zip(base, candidate, strict=True)]
    floors, controls = _means(base, floor), _means(base, control)
    texts = tuple(
        _text(b, c, d.kl).model_copy(
            update={
                "stratum": kind,
                "floor_kl": f,
                "control_kl": r,
                "beyond": None if p99_kl is None else int((d.kl > p99_kl).sum()),
            }
        )
        for b, c, d, kind, f, r in zip(base, candidate, found, kinds, floors, controls, strict=True)
    )
    kl = tuple(each.kl for each in found)
    covered = float(np.concatenate([each.covered for each in found]).mean())
    return Comparison(_metrics(base[0].ids.shape[1], texts, kl, covered), texts, kl)


def _means(
    base: Sequence[TextLogprobs], arm: Sequence[TextLogprobs] | None
) -> Sequence[float | None]:
    if arm is None:
        return [None] * len(base)
    return [float(divergence(b, a).kl.mean()) for b, a in zip(base, arm, strict=True)]


def _text(base: TextLogprobs, candidate: TextLogprobs, kl: Floats) -> TextResult:
    agree = base.ids[:, 0] == candidate.ids[:, 0]
    sure = base.logprobs[:, 0] >= SURE
    right, still = base.ids[:, 0] == base.tokens, candidate.ids[:, 0] == base.tokens
    return TextResult(
        tokens=len(base.tokens),
        mean_kl=float(kl.mean()),
        base_loss=_loss(base),
        loss=_loss(candidate),
        top1_agreement=float(agree.mean()),
        sure=int(sure.sum()),
        sure_agreement=float(agree[sure].mean()) if sure.any() else 1.0,
        lost=int((right & ~still).sum()),
        gained=int((still & ~right).sum()),
    )


def _loss(text: TextLogprobs) -> float:
    return float(-text.actual.mean(dtype=np.float64))


def _metrics(k: int, texts: Sequence[TextResult], kl: Sequence[Floats], covered: float) -> Metrics:
    tokens = [text.tokens for text in texts]
    sure = [text.sure for text in texts]
    everywhere = np.concatenate(kl)
    base_loss = float(np.average([text.base_loss for text in texts], weights=tokens))
    loss = float(np.average([text.loss for text in texts], weights=tokens))
    return Metrics(
        k=k,
        texts=len(texts),
        tokens=sum(tokens),
        base_perplexity=float(np.exp(base_loss)),
        perplexity=float(np.exp(loss)),
        perplexity_ratio=float(np.exp(loss - base_loss)),
        mean_kl=float(np.average([text.mean_kl for text in texts], weights=tokens)),
        median_kl=float(np.median(everywhere)),
        p99_kl=float(np.quantile(everywhere, 0.99)),
        top1_agreement=float(np.average([t.top1_agreement for t in texts], weights=tokens)),
        sure_agreement=(
            float(np.average([t.sure_agreement for t in texts], weights=sure))
            if any(sure)
            else None
        ),
        flips=sum(text.lost + text.gained for text in texts) / sum(tokens),
        covered=covered,
    )
