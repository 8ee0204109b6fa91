"""The demo's limits of tasks are what its item counts allow, by the rule that the docs state."""

import random

from tasks.core.recipe import load_recipe
from tasks.validate.statistics.paired import items_lost
from tests.bench.task_limits import PAGE, derive, of_recipe, table


def test_the_recipe_has_the_derived_limits() -> None:
    """Whoever changes the items, the looks or the limit of flips has to derive them again."""
    recipe = load_recipe("demo")
    one, together = of_recipe(recipe)
    limits = recipe.validation.limits
    assert (limits.task_loss, limits.tasks_loss) == (one.limit, together.limit)
    assert table((one, together)) in PAGE.read_text()


def test_a_lossless_candidate_holds_the_limit() -> None:
    """In simulated runs with the stated share of flips the limit is held in 99 of 100."""
    flips, confidence, items, runs = 0.08, 0.975, 10, 400
    limit = derive(items, flips, confidence).limit
    rng, held = random.Random(1), 0  # noqa: S311 - a simulation
    for _ in range(runs):
        losses = rng.choices((1.0, -1.0, 0.0), (flips / 2, flips / 2, 1 - flips), k=items)
        held += items_lost(losses, seed=42, resamples=2000).upper(confidence) <= limit
    assert held / runs > 0.97


def test_more_items_tell_more() -> None:
    """With all rows of a file a limit is lower, and a smaller loss is refused."""
    few, many = derive(10, 0.08, 0.975), derive(32, 0.08, 0.975)
    assert many.limit < few.limit
    assert many.detectable
    assert few.detectable is None or many.detectable < few.detectable
