"""What a change upstream asks for."""

from hypothesis import given
from hypothesis import strategies as st

from tasks.core.recipe import load_recipe
from tasks.watch.decide import Making, decide
from tasks.watch.fingerprint import Fingerprint

WEIGHT = {"nothing": 0, "revalidate": 1, "metadata": 2, "requantize": 3}
DIGEST = st.sampled_from(["a", "b"])
BASES = st.builds(
    Fingerprint, commit=st.sampled_from(["1" * 40, "2" * 40]), weights=DIGEST, behaviour=DIGEST
)
MAKINGS = st.builds(
    Making, base=BASES, shaping=DIGEST, judging=DIGEST, engine=st.sampled_from(["", "v1", "v2"])
)


def with_one(before: Making, now: Making, part: str) -> Making:
    """`before` with one part of `now`."""
    if part in Fingerprint.model_fields:
        base = before.base.model_copy(update={part: getattr(now.base, part)})
        return before.model_copy(update={"base": base})
    return before.model_copy(update={part: getattr(now, part)})


@given(MAKINGS, MAKINGS)
def test_the_weightiest_change_decides(before: Making, now: Making) -> None:
    """All changes together ask for the most that one of them asks for alone."""
    parts = ["commit", "weights", "behaviour", "shaping", "judging", "engine"]
    alone = [decide(before, with_one(before, now, part)) for part in parts]
    together = decide(before, now)
    assert WEIGHT[together.action] == max(WEIGHT[one.action] for one in alone)
    for one in alone:
        assert one.action == "nothing" or one.reason in together.reason


@given(MAKINGS, MAKINGS)
def test_old_weights_are_never_released_for_new_ones(before: Making, now: Making) -> None:
    """Where weights or their recipe differ, and only there, it is quantized."""
    same = (before.base.weights, before.shaping) == (now.base.weights, now.shaping)
    assert (decide(before, now).action == "requantize") is not same


@given(MAKINGS, BASES)
def test_prose_makes_nothing(before: Making, other: Fingerprint) -> None:
    """Another commit with equal weights and equal behaviour is prose alone."""
    base = before.base.model_copy(update={"commit": other.commit})
    decision = decide(before, before.model_copy(update={"base": base}))
    assert decision.action == "nothing"
    assert ("prose" in decision.reason) is (other.commit != before.base.commit)


@given(MAKINGS)
def test_a_first_look_quantizes_what_has_weights(now: Making) -> None:
    """A base without a release is quantized, once there are weights."""
    empty = now.base.model_copy(update={"weights": ""})
    assert decide(None, now).action == "requantize"
    assert decide(None, now.model_copy(update={"base": empty})).action == "nothing"
    assert decide(now, now.model_copy(update={"base": empty})).action == "nothing"


@given(MAKINGS, st.sampled_from(["", "v1"]))
def test_an_unknown_engine_is_no_change(before: Making, engine: str) -> None:
    """A watcher without a serving environment orders nothing for that."""
    known = before.model_copy(update={"engine": "v1"})
    assert decide(known, known.model_copy(update={"engine": ""})).action == "nothing"
    unknown = known.model_copy(update={"engine": ""})
    assert decide(unknown, known.model_copy(update={"engine": engine})).action == "nothing"


def test_the_parts_of_a_recipe() -> None:
    """Limits judge, iterations shape, a description does neither."""
    base = Fingerprint(commit="1" * 40, weights="a", behaviour="b")
    before = Making.of(base, load_recipe("demo"), "v1")
    for change, action in {
        "validation.limits.mean_kl": "revalidate",
        "tuning.iters": "requantize",
        "calibration.seed": "requantize",
    }.items():
        now = Making.of(base, load_recipe("demo", {change: 7}), "v1")
        assert decide(before, now).action == action
    described = Making.of(base, load_recipe("demo", {"description": "other"}), "v1")
    assert decide(before, described).action == "nothing"
