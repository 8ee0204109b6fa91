"""A point: one thing that is broken at one place of a release, and what must hold afterwards."""

from collections.abc import Callable
from dataclasses import dataclass

from tests.faults.case import Case
from tests.faults.proof import Published, prove


def nothing(_: Case) -> None:
    """Nobody needs to mend anything."""


@dataclass(frozen=True)
class Point:
    """One thing that is broken.

    Attributes:
        name: of the point, and of the repository it releases to.
        broken: what happens, in words.
        act: makes a release and breaks it.
        without: stages that are made anew; the others are there.
        mend: what a person does before trying again, where the release failed.
        check: raises AssertionError unless all holds at the end.
    """

    name: str
    broken: str
    act: Callable[[Case], None]
    without: tuple[str, ...] = ()
    mend: Callable[[Case], None] = nothing
    check: Callable[[Case, Published], None] = prove
