"""Paired yes-or-no answers of two models to the same items: flips, and the exact McNemar test."""

from collections.abc import Sequence

from tasks.core.manifest import Frozen
from tasks.validate.statistics.bootstrap import RESAMPLES, Bootstrap, weighted_mean


class Flips(Frozen):
    """Items that one model gets right and the other does not.

    Attributes:
        items: all of them.
        lost: right before, wrong now.
        gained: wrong before, right now.
    """

    items: int
    lost: int
    gained: int

    @property
    def discordance(self) -> float:
        """Share of items whose answer flipped, either way."""
        return (self.lost + self.gained) / self.items

    @property
    def difference(self) -> float:
        """Accuracy now less accuracy before."""
        return (self.gained - self.lost) / self.items


def items_lost(losses: Sequence[float], seed: int, resamples: int = RESAMPLES) -> Bootstrap:
    """Share of items lost less that of items gained, from resampling items.

    Where hardly any item flipped, the items at hand do not show how often flips happen: resamples
    without any would put the bound at zero. So one item lost and one gained are added before
    bounds are taken, after Agresti and Min, Simple improved confidence intervals for comparing
    matched proportions (2005).

    Args:
        losses: of each item 1 if it was lost, -1 if it was gained, else 0.
        seed: of the bootstrap.
        resamples: how often items are drawn anew.
    """
    raw = sum(losses) / len(losses)
    values, weights = [*losses, 1.0, -1.0], [1.0] * (len(losses) + 2)
    found = weighted_mean(values, weights, seed=seed, resamples=resamples)
    return Bootstrap(
        value=raw,
        error=found.error,
        # The bounds stay where they are while the value moves to the one that was seen.
        pivots=found.pivots + (raw - found.value) / found.error,
        sources=len(losses),
    )


def mcnemar(flips: Flips) -> float:
    """Exact two-sided p-value against flips being as likely one way as the other.

    For items that are independent of each other; positions of one text are not.
    """
    from statsmodels.stats.contingency_tables import mcnemar as exact

    return float(exact([[0, flips.lost], [flips.gained, 0]], exact=True).pvalue)


def holm(p_values: list[float]) -> list[float]:
    """p-values adjusted for their number, so that all together err as often as one alone.

    Source: Holm, A simple sequentially rejective multiple test procedure (1979).
    """
    from statsmodels.stats.multitest import multipletests

    if not p_values:
        return []
    return [float(p) for p in multipletests(p_values, method="holm")[1]]
