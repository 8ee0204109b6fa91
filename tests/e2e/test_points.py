"""The quickest of the points of `make faults`: what each must hold is in `tests.faults.proof`."""

from collections.abc import Iterator

import pytest

from tests.e2e.house import House
from tests.faults.points import chosen
from tests.faults.stand import beside
from tests.faults.trial import Trial

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.heavy,
    # huggingface_hub's LFS upload of bytes, in the way that its HTTP client no longer likes
    pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning"),
]
QUICK = ("download-bit-flip", "hub-killed-after-commit", "s3-killed-part")


@pytest.fixture(scope="module")
def trial(house: House) -> Iterator[Trial]:
    """The undisturbed release, on the stack that all tests share."""
    with beside(house, house.home.parent / "points") as stand:
        yield Trial.of(stand)


@pytest.mark.parametrize("name", QUICK)
def test_a_broken_release_is_made_once(trial: Trial, name: str) -> None:
    """It finishes by itself: one release, equal to the undisturbed one, and nothing is left."""
    (point,) = chosen(name)
    row = trial.row(point)
    assert not row.missing
    assert row.outcome == "finished by itself"
