"""What tasks may lose, from how many items they have: `python -m tests.bench.task_limits`.

A candidate that loses nothing still flips answers, as many of them gained as lost. A limit below
what its bound shows by chance would leave honest releases undecided, and one far above it would see
less than the items can tell. So a limit is the smallest, in steps of .05, that a lossless candidate
holds in 99 of 100 runs, when as many of its answers flip as the recipe allows of positions
(`limits.flips`). Prints a table for the demo's recipe; `--page` puts it into the docs.
"""

import argparse
import math
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tasks.core.recipe import Recipe, load_recipe
from tasks.validate.gate import ERROR, looks
from tasks.validate.statistics.bootstrap import Bootstrap
from tasks.validate.statistics.paired import items_lost
from tests.bench.page import put

PAGE, PLACE = Path("docs/explanation/gate.md"), "task limits"
HOLDS, STEP, UNLIKELY, POWER = 0.99, 0.05, 1e-6, 0.8


@dataclass(frozen=True)
class Limit:
    """What a set of items can tell.

    Attributes:
        items: how many.
        limit: most share that may be lost.
        held: items that may be lost, none gained, for the limit to hold.
        refused: items that must be lost, none gained, for the limit to fail; None where even the
            loss of all would not show it.
        detectable: share of items whose loss is refused in 80 of 100 runs; None alike.
    """

    items: int
    limit: float
    held: int
    refused: int | None
    detectable: float | None


def derive(items: int, flips: float, confidence: float, family: int = 1) -> Limit:
    """The limit for a number of items.

    Args:
        items: how many.
        flips: share of answers that a lossless candidate flips, as many gained as lost.
        confidence: of each one-sided bound.
        family: limits that share the error of a refusal; the first of them has that share of it.
    """
    limit = math.ceil(round(_bound(items, flips, confidence) / STEP, 9)) * STEP
    sure = 1 - (1 - confidence) / family
    held = [n for n in range(items + 1) if _of(items, n, 0).upper(confidence) <= limit]
    refused = [n for n in range(items + 1) if _of(items, n, 0).lower(sure) > limit]
    first = min(refused, default=None)
    return Limit(items, round(limit, 2), max(held), first, first and _detectable(items, first))


def _bound(items: int, flips: float, confidence: float) -> float:
    """What the upper bound of a lossless candidate stays below in 99 of 100 runs."""
    chances = [
        (_of(items, lost, gained).upper(confidence), chance)
        for lost in range(items + 1)
        for gained in range(items + 1 - lost)
        if (chance := _chance(items, lost, gained, flips)) > UNLIKELY
    ]
    total = 0.0
    for bound, chance in sorted(chances):
        total += chance
        if total >= HOLDS:
            return bound
    raise ValueError(f"no bound for {items} items")


def _chance(items: int, lost: int, gained: int, flips: float) -> float:
    ways = math.comb(items, lost) * math.comb(items - lost, gained)
    return ways * (flips / 2) ** (lost + gained) * (1 - flips) ** (items - lost - gained)


@cache
def _of(items: int, lost: int, gained: int) -> Bootstrap:
    same = items - lost - gained
    return items_lost([1.0] * lost + [-1.0] * gained + [0.0] * same, seed=42)


def _detectable(items: int, refused: int) -> float:
    """Share that must be lost for `refused` items to be lost in 80 of 100 runs."""
    return next(
        share / 100
        for share in range(101)
        if sum(
            math.comb(items, n) * (share / 100) ** n * (1 - share / 100) ** (items - n)
            for n in range(refused, items + 1)
        )
        >= POWER
    )


def of_recipe(recipe: Recipe) -> tuple[Limit, Limit]:
    """Limits of a recipe's smallest task of right or wrong answers, and of all such together.

    Raises:
        ValueError: it has no such task, or does not limit flips.
    """
    judging = recipe.validation
    counts = [task.items for task in judging.tasks if task.kind == "exact_match"]
    if not counts or judging.limits.flips is None:
        raise ValueError(f"{recipe.name} has no tasks to limit, or no limit of flips")
    attempts = judging.repair.attempts if judging.repair else 0
    tries = len(looks(judging.texts, judging.budget)) * (1 + attempts)
    confidence, flips = 1 - ERROR / tries, judging.limits.flips
    one = derive(min(counts), flips, confidence, len(counts))
    return one, derive(sum(counts), flips, confidence)


def table(limits: tuple[Limit, Limit]) -> str:
    """Both limits as Markdown."""
    rows = [
        f"| {name} | {it.items} | {it.limit:g} | {it.held} | {_or_never(it.refused)} "
        f"| {_or_never(it.detectable)} |"
        for name, it in zip(("`task_loss`", "`tasks_loss`"), limits, strict=True)
    ]
    head = (
        "| limit | items | share | holds up to, lost | fails from, lost "
        "| share of answers whose loss is refused in 80% |\n|---|---|---|---|---|---|"
    )
    return "\n".join([head, *rows]) + "\n"


def _or_never(value: float | None) -> str:
    return "never" if value is None else f"{value:g}"


def main() -> None:
    """Print, and put into the docs where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--page", action="store_true", help="put the table into the docs")
    made = table(of_recipe(load_recipe("demo")))
    if parser.parse_args().page:
        put(PLACE, made, PAGE)
    sys.stdout.write(made)


if __name__ == "__main__":
    main()
