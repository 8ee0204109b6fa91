"""`make faults`: break one thing at a time, and see that a release loses nothing.

    python -m tests.faults.run FOLDER [--points a,b] [--page]

Needs root, for the small file systems.
"""

import argparse
import shutil
import sys
import time
from pathlib import Path

from tests.faults.points import POINTS, chosen
from tests.faults.stand import Stand, stand
from tests.faults.table import Row, keep, kept, put_into_page
from tests.faults.trial import Trial


def main() -> int:
    """Try the points that are asked for; 1 if any does not hold, 2 if there is no such point."""
    parser = argparse.ArgumentParser(description=__doc__, prog="tests.faults.run")
    parser.add_argument("folder", type=Path, help="takes the stack and all workspaces")
    parser.add_argument("--points", default="", help="names, separated by commas; all if empty")
    parser.add_argument("--page", action="store_true", help="put the table into the documentation")
    parser.add_argument("--keep", action="store_true", help="leave the stack running")
    parser.add_argument(
        "--again", action="store_true", help="take the undisturbed release of last time"
    )
    given = parser.parse_args()
    try:
        points = chosen(given.points)
    except ValueError as error:
        parser.error(str(error))
    started, rows = time.monotonic(), list[Row]()
    with stand(given.folder, keep=given.keep) as stands:
        trial = Trial.again(stands) if given.again else _first(stands)
        for point in points:
            rows.append(trial.row(point))
            keep(given.folder, rows[-1])
            _say(rows[-1].line())
    held = sum(not row.missing for row in rows)
    _say(f"{held} of {len(rows)} points hold, in {time.monotonic() - started:.0f} s")
    if given.page:
        names = [point.name for point in POINTS]
        put_into_page(kept(given.folder, names), names)
    return 0 if held == len(rows) else 1


def _first(stands: Stand) -> Trial:
    _say("making the undisturbed release")
    shutil.rmtree(stands.scratch, ignore_errors=True)
    return Trial.of(stands)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
