"""From bounds and limits to decisions, and from decisions to one verdict.

A measure has a limit it must keep. What its bounds say is one of three things: it `holds` (the
bound on the far side keeps the limit), it `fails` (the bound on the near side breaks it), or it is
`undecided`. To accept, every measure has to hold, each shown at full confidence: such an
intersection of tests needs no correction for their number (Berger 1982). To refuse, one suffices,
so measures of one family (strata, tasks) share their error by Holm's procedure.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tasks.core.gate_records import Verdict
from tasks.validate.statistics.bootstrap import Bootstrap
from tasks.validate.statistics.paired import holm
from tasks.validate.statistics.power import detectable

Decision = Literal["holds", "fails", "undecided"]
Direction = Literal["at most", "at least"]


@dataclass(frozen=True)
class Criterion:
    """A measure and its limit.

    Attributes:
        name: for people.
        sample: the measure.
        direction: which side of the limit is good.
        limit: what it must keep.
        lossless: what a candidate without any damage would show.
        family: measures that share their error; empty for none.
        proven: `safety` holds only if shown to keep the limit; `harm` fails only if shown to break
            it, and holds otherwise.
    """

    name: str
    sample: Bootstrap
    direction: Direction
    limit: float
    lossless: float
    family: str = ""
    proven: Literal["safety", "harm"] = "safety"

    def p_fails(self) -> float:
        """p-value against the limit being kept."""
        up = self.direction == "at most"
        return self.sample.p_above(self.limit) if up else self.sample.p_below(self.limit)

    def p_holds(self) -> float:
        """p-value against the limit being broken."""
        up = self.direction == "at most"
        kept = self.sample.value <= self.limit if up else self.sample.value >= self.limit
        if self.sample.error == 0:
            return 0.0 if kept else 1.0
        return self.sample.p_below(self.limit) if up else self.sample.p_above(self.limit)

    def feasible(self, confidence: float, more: float) -> bool:
        """Whether `more` times the sources could tell a lossless candidate from a bad one."""
        seen = detectable(self.sample.error, confidence) / math.sqrt(more)
        return seen <= abs(self.limit - self.lossless)


def decide(criteria: Sequence[Criterion], confidence: float) -> list[Decision]:
    """What the bounds say of each criterion.

    Args:
        criteria: all that are decided together.
        confidence: of each one-sided bound.
    """
    level = 1 - confidence
    fails = _adjusted(criteria)
    return [
        "fails"
        if p <= level
        else "holds"
        if criterion.proven == "harm" or criterion.p_holds() <= level
        else "undecided"
        for criterion, p in zip(criteria, fails, strict=True)
    ]


def _adjusted(criteria: Sequence[Criterion]) -> list[float]:
    p_values = [criterion.p_fails() for criterion in criteria]
    for family in {criterion.family for criterion in criteria} - {""}:
        places = [n for n, criterion in enumerate(criteria) if criterion.family == family]
        for place, p in zip(places, holm([p_values[n] for n in places]), strict=True):
            p_values[place] = p
    return p_values


def verdict(
    *, broken: bool, anomalous: bool, decisions: Sequence[Decision], feasible: bool
) -> Verdict:
    """One word for all that was found.

    Args:
        broken: a check without chance in it failed: static, kernel, canary.
        anomalous: the measurement itself cannot be trusted.
        decisions: of all measures.
        feasible: whether the undecided ones could have been decided with the whole budget.
    """
    if broken:
        return "REGRESSION"
    if anomalous:
        return "ANOMALOUS"
    if "fails" in decisions:
        return "REGRESSION"
    if "undecided" in decisions:
        return "INCONCLUSIVE" if feasible else "INFEASIBLE"
    return "ACCEPT"
