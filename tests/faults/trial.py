"""Makes the undisturbed release, and tries one point after the other."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.faults import disk
from tests.faults.case import Case, first_error, is_clear
from tests.faults.onlooker import Onlooker
from tests.faults.point import Point
from tests.faults.proof import Published, prove, published
from tests.faults.stand import Stand
from tests.faults.table import Row

REFERENCE = "undisturbed"
SHOWN = 1500


@dataclass(frozen=True)
class Trial:
    """Points against one undisturbed release.

    Attributes:
        stand: the stack.
        reference: the undisturbed release.
        model: its home.
    """

    stand: Stand
    reference: Published
    model: Path

    @classmethod
    def of(cls, stand: Stand) -> "Trial":
        """Make the undisturbed release.

        Raises:
            AssertionError: it does not hold what every point must.
        """
        case = Case(stand, REFERENCE, stand.scratch / REFERENCE)
        case.direct()
        with case.release():
            pass
        assert case.runs[-1].status == 0, case.runs[-1].out[-SHOWN:]
        made = published(stand, case.target)
        prove(case, made)
        _note(stand).write_text(made.model_dump_json())
        return cls(stand, made, case.home)

    @classmethod
    def again(cls, stand: Stand) -> "Trial":
        """Take the undisturbed release of last time."""
        made = Published.model_validate_json(_note(stand).read_bytes())
        return cls(stand, made, stand.scratch / REFERENCE)

    def row(self, point: Point) -> Row:
        """Try one point."""
        case = Case(self.stand, point.name, self.model)
        missing = self._missing(point, case)
        if not missing:
            disk.unmount(case.home)
            shutil.rmtree(case.home, ignore_errors=True)
        return Row(
            name=point.name,
            broken=point.broken,
            outcome=_outcome(case),
            seconds=round(sum(run.seconds for run in case.runs), 1),
            missing=" ".join(missing.split())[:SHOWN],
        )

    def _missing(self, point: Point, case: Case) -> str:
        """What does not hold; empty if all does."""
        whole = set(self.reference.files)
        onlooker = Onlooker(self.stand, case.target, whole, case.foreign)
        try:
            self.stand.well()
            disk.unmount(case.home)
            shutil.rmtree(case.home, ignore_errors=True)
            case.prepare(*point.without)
            with onlooker.looking():
                point.act(case)
                _retry(point, case)
            assert not onlooker.seen, f"seen on the Hub: {onlooker.seen[0]}"
            assert onlooker.looks, "nobody looked at the Hub"
            point.check(case, self.reference)
        except Exception as error:  # noqa: BLE001 - whatever it is, the next point is tried
            return f"{type(error).__name__}: {error}"
        return ""


def _note(stand: Stand) -> Path:
    """Where it is noted what the undisturbed release is."""
    return stand.scratch / f"{REFERENCE}.json"


def _retry(point: Point, case: Case) -> None:
    """Where the command failed, mend what a person mends, and type it again."""
    broken = [run for run in case.runs if run.status != 0]
    for run in broken:
        assert is_clear(run), f"not a clear error: {run.out[-SHOWN:]}"
    if broken:
        point.mend(case)
        with case.again():
            pass
        assert case.runs[-1].status == 0, f"the retry failed: {case.runs[-1].out[-SHOWN:]}"


def _outcome(case: Case) -> str:
    broken = [run for run in case.runs if run.status != 0]
    if not broken:
        return "finished by itself"
    again = "; the retry finished" if case.runs[-1].status == 0 else ""
    said = f"{first_error(broken[0]) or 'failed'}{again}"
    return said.replace("|", "/").replace(str(case.home), "HOME")
