"""Two releases at once."""

from tests.faults.case import Case
from tests.faults.point import Point
from tests.faults.proof import Published, prove, published

OTHER = "tuning.seed=7"


def same_twice(case: Case) -> None:
    """One release, ordered by two people at once."""
    with case.release(), case.release():
        pass


def two_things(case: Case) -> None:
    """Two releases at once, of which each has to quantize on the one GPU worker."""
    with case.release(), case.release(OTHER, target=f"{case.target}-other"):
        pass


def both(case: Case, reference: Published) -> None:
    """Both stand, and differ in their name alone, since rounding to nearest knows no seed."""
    prove(case, reference)
    other = published(case.stand, f"{case.target}-other")
    assert other.release != reference.release
    assert other.weights == reference.weights


POINTS = (
    Point(
        "same-twice",
        "the same release twice at once, from the quantizer on",
        same_twice,
        ("quantize",),
    ),
    Point(
        "two-at-once",
        "two releases at once on one GPU worker",
        two_things,
        ("quantize",),
        check=both,
    ),
)
