"""Base against candidate on tasks: how much was lost, and how sure that is.

Items are answered by both, so differences are taken item by item, and items are what is resampled.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tasks.core.gate_records import TaskScore
from tasks.core.manifest import Frozen
from tasks.core.recipe_validation import Limits, Task
from tasks.validate.scores.items import TaskItems
from tasks.validate.scores.run import Answer, Answers
from tasks.validate.statistics.bootstrap import weighted_mean
from tasks.validate.statistics.decide import Criterion
from tasks.validate.statistics.paired import Flips, items_lost, mcnemar

FAMILY, PERPLEXITY = "tasks", "perplexity"
LOSS, RATIO, TOGETHER = "items lost: ", "perplexity ratio: ", "all tasks"


class Flip(Frozen):
    """An item that just one of both answered rightly: what was asked, right, and said."""

    task: str
    item: int
    asked: str
    answer: str
    base: str
    candidate: str
    lost: bool


@dataclass(frozen=True)
class Paired:
    """Both models' answers to one task, item by item."""

    task: Task
    base: tuple[Answer, ...]
    candidate: tuple[Answer, ...]

    @property
    def exact(self) -> bool:
        """Whether answers are right or wrong."""
        return self.task.kind != PERPLEXITY

    @property
    def flips(self) -> Flips:
        """Items that one model gets right and the other does not."""
        gaps = self.losses
        return Flips(items=len(gaps), lost=gaps.count(1), gained=gaps.count(-1))

    @property
    def losses(self) -> list[float]:
        """Of each item 1 if it was lost, -1 if it was gained; of a text nats a token."""
        pairs = zip(self.base, self.candidate, strict=True)
        if self.exact:
            return [before.value - after.value for before, after in pairs]
        return [(after.value - before.value) / max(1, before.weight) for before, after in pairs]

    def mean(self, answers: Sequence[Answer]) -> float:
        """Share of right answers, or perplexity."""
        found = sum(a.value for a in answers) / max(1, sum(a.weight for a in answers))
        return found if self.exact else math.exp(found)


def pair(
    tasks: Sequence[Task], base: Sequence[Answers], candidate: Sequence[Answers]
) -> list[Paired]:
    """Answers of both models, task by task.

    Raises:
        ValueError: they answered other tasks, or another number of items.
    """
    return [
        Paired(task, before.answers, after.answers)
        for task, before, after in zip(tasks, base, candidate, strict=True)
    ]


def criteria(found: Sequence[Paired], limits: Limits, seed: int) -> list[Criterion]:
    """What of the tasks has a limit."""
    made = [_criterion(each, limits, seed) for each in found]
    exact = [loss for each in found if each.exact for loss in each.losses]
    if exact and limits.tasks_loss is not None:
        sample = items_lost(exact, seed)
        made.append(Criterion(LOSS + TOGETHER, sample, "at most", limits.tasks_loss, 0))
    return [each for each in made if each]


def _criterion(found: Paired, limits: Limits, seed: int) -> Criterion | None:
    name = found.task.name
    if not found.exact:
        sample = weighted_mean(found.losses, [a.weight for a in found.base], seed=seed)
        most = math.log(limits.perplexity_ratio)
        return Criterion(RATIO + name, sample, "at most", most, 0, family=FAMILY)
    if limits.task_loss is None:
        return None
    sample = items_lost(found.losses, seed)
    return Criterion(LOSS + name, sample, "at most", limits.task_loss, 0, family=FAMILY)


def summary(found: Sequence[Paired], *, seed: int, confidence: float) -> tuple[TaskScore, ...]:
    """Each task in figures, for people."""
    return tuple(_score(each, seed, confidence) for each in found)


def _score(found: Paired, seed: int, confidence: float) -> TaskScore:
    base, candidate = found.mean(found.base), found.mean(found.candidate)
    if found.exact:
        sample, flips = items_lost(found.losses, seed), found.flips
        lost = sample.value, sample.upper(confidence), sample.lower(confidence)
        change = tuple(0.0 - each for each in lost)  # and not -0.0, which reads like a loss
        extra = {"lost": flips.lost, "gained": flips.gained, "p_value": mcnemar(flips)}
    else:
        ratio = weighted_mean(found.losses, [a.weight for a in found.base], seed=seed)
        bounds = ratio.value, ratio.lower(confidence), ratio.upper(confidence)
        change = tuple(math.exp(min(bound, 50.0)) for bound in bounds)
        extra = {}
    value, lower, upper = change
    return TaskScore(
        name=found.task.name, kind=found.task.kind, items=len(found.base), base=base,
        candidate=candidate, change=value, lower=lower, upper=upper, **extra,
    )  # fmt: skip


def flipped(found: Sequence[Paired], tasks: Sequence[TaskItems], most: int) -> tuple[Flip, ...]:
    """Items that flipped, those that were lost first."""
    flips = [
        Flip(
            task=each.task.name, item=number, asked=item.asked, answer=item.answer,
            base=before.said, candidate=after.said, lost=before.value > after.value,
        )
        for each, given in zip(found, tasks, strict=True) if each.exact
        for number, (item, before, after) in enumerate(
            zip(given.items, each.base, each.candidate, strict=True)
        )
        if before.value != after.value
    ]  # fmt: skip
    return tuple(sorted(flips, key=lambda flip: not flip.lost)[:most])
