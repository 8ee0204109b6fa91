"""What of a comparison has a limit: each measure over the texts, its bounds, and what they decide.

Every measure is a mean over positions, weighted by texts, so one bootstrap serves all of them; the
perplexity ratio is the exponential of the mean difference of losses. A limit of the 99th percentile
is one of a mean too: no more than one position in a hundred may lie beyond it.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from tasks.core.gate_records import Measure, Stratum
from tasks.core.recipe_validation import Limits
from tasks.validate.compare import TextResult
from tasks.validate.statistics.bootstrap import Bootstrap, weighted_mean
from tasks.validate.statistics.decide import Criterion, Decision, decide
from tasks.validate.statistics.power import detectable

FEWEST = 4
"""Texts of a stratum from which on its bounds are told apart from chance."""
ONE_IN_A_HUNDRED = 0.01
STRATA, STRATA_NAME = "strata", "mean KL, "
PERPLEXITY, CONTROL = "perplexity ratio", "KL beyond the control's"
Texts = Sequence[TextResult]
Value = Callable[[TextResult], float]


@dataclass(frozen=True)
class Judged:
    """The measures, and whether those that are undecided could be decided with more texts.

    Attributes:
        measures: of the texts, then of the tasks.
        feasible: whether it could.
        of_tasks: how many of the measures are of tasks, which have no more items than they have.
    """

    measures: tuple[Measure, ...]
    feasible: bool
    of_tasks: int = 0

    @property
    def decisions(self) -> list[Decision]:
        """What each measure's bounds say."""
        return [measure.decision for measure in self.measures]

    @property
    def undecided(self) -> bool:
        """Whether more texts could change the verdict: bounds enclose limits, none is broken."""
        of_texts = self.decisions[: len(self.measures) - self.of_tasks]
        return "undecided" in of_texts and "fails" not in self.decisions


def judge(
    texts: Texts, limits: Limits, *, seed: int, confidence: float, budget: int,
    tasks: Sequence[Criterion] = (),
) -> Judged:  # fmt: skip
    """Bounds and decisions of every measure that the recipe limits.

    Args:
        texts: the comparison.
        limits: of the recipe.
        seed: of the bootstrap.
        confidence: of each one-sided bound.
        budget: texts there could be in all.
        tasks: what of the tasks has a limit.
    """
    rows = [*_overall(texts, limits, seed), *_strata(texts, limits, seed)]
    more = [budget / len(texts)] * len(rows) + [1.0] * len(tasks)
    rows += [(criterion, "") for criterion in tasks]
    decisions = decide([criterion for criterion, _ in rows], confidence)
    return Judged(
        measures=tuple(
            _measure(criterion, stratum, decision, confidence)
            for (criterion, stratum), decision in zip(rows, decisions, strict=True)
        ),
        feasible=all(
            criterion.feasible(confidence, times)
            for (criterion, _), decision, times in zip(rows, decisions, more, strict=True)
            if decision == "undecided"
        ),
        of_tasks=len(tasks),
    )


def gain(texts: Texts, *, seed: int, confidence: float) -> float:
    """Upper bound of the candidate's perplexity over the base's."""
    return math.exp(_mean(texts, lambda t: t.loss - t.base_loss, seed).upper(confidence))


def noise(texts: Texts, *, seed: int, confidence: float) -> float | None:
    """Lower bound of the base's mean KL against itself; None if it was not measured."""
    if any(text.floor_kl is None for text in texts):
        return None
    return _mean(texts, lambda text: text.floor_kl or 0.0, seed).lower(confidence)


def strata(texts: Texts, *, seed: int, confidence: float) -> tuple[Stratum, ...]:
    """The comparison by kind of text, in the order of their first text."""
    return tuple(
        Stratum(
            name=name,
            texts=len(group),
            tokens=sum(text.tokens for text in group),
            mean_kl=(kl := _mean(group, _kl, seed)).value,
            upper_kl=min(kl.upper(confidence), math.log(1e6)) if len(group) > 1 else kl.value,
            perplexity_ratio=math.exp(_mean(group, lambda t: t.loss - t.base_loss, seed).value),
            top1_agreement=_mean(group, lambda t: t.top1_agreement, seed).value,
        )
        for name, group in by_stratum(texts).items()
    )


def by_stratum(texts: Texts) -> dict[str, list[TextResult]]:
    """Texts by their kind."""
    groups: dict[str, list[TextResult]] = {}
    for text in texts:
        groups.setdefault(text.stratum, []).append(text)
    return groups


def _overall(texts: Texts, limits: Limits, seed: int) -> Iterable[tuple[Criterion, str]]:
    kl, loss = _mean(texts, _kl, seed), _mean(texts, lambda t: t.loss - t.base_loss, seed)
    top1 = _mean(texts, lambda text: text.top1_agreement, seed)
    yield Criterion("mean KL", kl, "at most", limits.mean_kl, 0), ""
    yield (
        Criterion(PERPLEXITY, loss, "at most", math.log(limits.perplexity_ratio), 0),
        "",
    )
    yield Criterion("top-1 agreement", top1, "at least", limits.top1_agreement, 1), ""
    if limits.sure_agreement is not None and any(text.sure for text in texts):
        sure = weighted_mean(
            [text.sure_agreement for text in texts], [text.sure for text in texts], seed=seed
        )
        yield (
            Criterion("top-1 where the base is sure", sure, "at least", limits.sure_agreement, 1),
            "",
        )
    if limits.flips is not None:
        flips = _mean(texts, lambda text: (text.lost + text.gained) / text.tokens, seed)
        yield Criterion("flips", flips, "at most", limits.flips, 0), ""
    if limits.p99_kl is not None and all(text.beyond is not None for text in texts):
        beyond = _mean(texts, lambda text: (text.beyond or 0) / text.tokens, seed)
        name = f"positions beyond a KL of {limits.p99_kl:g}"
        yield Criterion(name, beyond, "at most", ONE_IN_A_HUNDRED, 0), ""
    if limits.control_ratio is not None and all(t.control_kl is not None for t in texts):
        yield _against_control(texts, limits.control_ratio, seed), ""


def _against_control(texts: Texts, ratio: float, seed: int) -> Criterion:
    """KL of the candidate less `ratio` times the control's, text by text."""
    excess = _mean(texts, lambda text: text.mean_kl - ratio * (text.control_kl or 0.0), seed)
    return Criterion(CONTROL, excess, "at most", 0.0, 0.0, proven="harm")


def _strata(texts: Texts, limits: Limits, seed: int) -> Iterable[tuple[Criterion, str]]:
    if limits.stratum_kl is None:
        return
    for name, group in by_stratum(texts).items():
        if len(group) >= FEWEST:
            kl = _mean(group, _kl, seed)
            title = STRATA_NAME + name
            yield Criterion(title, kl, "at most", limits.stratum_kl, 0, family=STRATA), name


def _kl(text: TextResult) -> float:
    return text.mean_kl


def _mean(texts: Texts, value: Value, seed: int) -> Bootstrap:
    return weighted_mean([value(t) for t in texts], [t.tokens for t in texts], seed=seed)


def _measure(criterion: Criterion, stratum: str, decision: Decision, confidence: float) -> Measure:
    sample = criterion.sample
    values = sample.value, sample.lower(confidence), sample.upper(confidence), criterion.limit
    if criterion.name.startswith(PERPLEXITY):
        values = tuple(math.exp(min(value, 50.0)) for value in values)  # type: ignore[assignment]
    value, lower, upper, limit = values
    if criterion.direction == "at least":
        upper = min(upper, criterion.lossless)  # no share is above 1, whatever the pivots say
    return Measure(
        name=criterion.name,
        value=value,
        lower=lower,
        upper=upper,
        direction=criterion.direction,
        limit=limit,
        decision=decision,
        detectable=detectable(sample.error, confidence),
        sources=sample.sources,
        stratum=stratum,
    )
