"""Paired yes-or-no answers of two models to the same items: flips, and the exact McNemar test."""

from tasks.core.manifest import Frozen


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
