"""What two models' answers to the same items come to."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.core.recipe_source import Source
from tasks.core.recipe_validation import Limits, Task
from tasks.validate.measures import judge
from tasks.validate.scores.items import Item, TaskItems
from tasks.validate.scores.paired import Paired, criteria, flipped, pair, summary
from tasks.validate.scores.run import Answer, Answers
from tests.validate.evidences import LIMITS, texts

SOURCE = Source(files="t.jsonl")
LOSSES = Limits.model_validate(LIMITS.model_dump() | {"task_loss": 0.2, "tasks_loss": 0.1})


def exact(name: str, base: list[bool], candidate: list[bool]) -> Paired:
    sides = (tuple(Answer(said=str(n), value=float(n)) for n in side) for side in (base, candidate))
    return Paired(Task(name=name, source=SOURCE, items=len(base)), *sides)


def rolling(ratio: float) -> Paired:
    task = Task(name="text", source=SOURCE, kind="perplexity", items=8)
    base = tuple(Answer(said="", value=3.0 * n, weight=n) for n in range(10, 18))
    worse = tuple(
        a.model_copy(update={"value": a.value + a.weight * math.log(ratio)}) for a in base
    )
    return Paired(task, base, worse)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40))
def test_scores_count_items(answers: list[tuple[bool, bool]]) -> None:
    """Base, candidate, lost, gained and change are counts of the items, one by one."""
    base, candidate = ([side[n] for side in answers] for n in (0, 1))
    (score,) = summary([exact("t", base, candidate)], seed=1, confidence=0.95)
    assert score.base == pytest.approx(sum(base) / len(base))
    assert score.candidate == pytest.approx(sum(candidate) / len(base))
    assert score.lost == sum(b and not c for b, c in answers)
    assert score.gained == sum(c and not b for b, c in answers)
    assert score.change == pytest.approx(score.candidate - score.base)
    assert score.lower - 1e-9 <= score.change <= score.upper + 1e-9


def test_perplexity_is_that_of_all_tokens() -> None:
    """Texts of unequal length weigh by their tokens; a constant factor is found, without doubt."""
    (score,) = summary([rolling(1.04)], seed=1, confidence=0.95)
    assert score.base == pytest.approx(math.exp(3.0))
    assert (score.change, score.lower, score.upper) == pytest.approx((1.04, 1.04, 1.04))
    assert score.recovery == pytest.approx(1 / 1.04)


@pytest.mark.parametrize(
    ("lost", "one", "together"),
    [(0, "holds", "holds"), (44, "fails", "fails"), (9, "undecided", "holds")],
)
def test_a_loss_is_judged_with_the_texts(lost: int, one: str, together: str) -> None:
    """Losses hold, fail or stay open against their limits, and more texts cannot close them."""
    tasks = [
        exact("good", [True] * 64, [True] * 64),
        exact("bad", [True] * 64, [False] * lost + [True] * (64 - lost)),
        exact("fair", [True, False] * 32, [True, False] * 32),
    ]
    found = judge(
        texts(kl=0.03), LOSSES, seed=1, confidence=0.95, budget=48,
        tasks=criteria(tasks, LOSSES, seed=1),
    )  # fmt: skip
    decided = {measure.name: measure.decision for measure in found.measures}
    assert decided["items lost: good"] == decided["items lost: fair"] == "holds"
    assert (decided["items lost: bad"], decided["items lost: all tasks"]) == (one, together)
    assert not found.undecided


def test_without_limits_nothing_is_judged() -> None:
    """Exact answers have no limit of their own unless the recipe names one."""
    tasks = [exact("t", [True], [False]), rolling(1.5)]
    none = LIMITS.model_copy(update={"task_loss": None})
    assert [made.name for made in criteria(tasks, none, 1)] == ["perplexity ratio: text"]


def test_flipped_items_are_told_with_both_answers() -> None:
    """Those that were lost come first, and no more than asked for."""
    base, candidate = [True, False, True, True], [True, True, False, True]
    found = exact("t", base, candidate)
    items = tuple(Item(asked=f"q{n}", answer=f"a{n}") for n in range(4))
    flips = flipped([found], [TaskItems(task=found.task, items=items)], 8)
    assert [(flip.asked, flip.lost) for flip in flips] == [("q2", True), ("q1", False)]
    assert (flips[0].base, flips[0].candidate) == ("True", "False")
    assert len(flipped([found], [TaskItems(task=found.task, items=items)], 1)) == 1


def test_answers_to_other_tasks_do_not_pair() -> None:
    """A model that answered fewer tasks is an error, not a shorter comparison."""
    answers = [Answers(name="t", answers=(Answer(said="", value=1.0),))]
    with pytest.raises(ValueError, match="zip"):
        pair([Task(name="t", source=SOURCE, items=1)], answers, [])
