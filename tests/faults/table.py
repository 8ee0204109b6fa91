"""The table of all points: on the terminal as they end, and in docs/reliability.md.

A point that was not tried in a folder keeps the row that the page has of it.
"""

import re
from pathlib import Path

from tasks.core.manifest import Frozen
from tests.bench.machine import machine
from tests.bench.page import put

PAGE = Path("docs/reliability.md")
PLACE = "faults"
ROWS = "rows.jsonl"
HEADER = "| point | what was broken | outcome | seconds | holds |\n|---|---|---|---|---|\n"
WHEN = re.compile(r", ([-\d]+(?: to [-\d]+)?), tried at commit ([^;]+);")
CELLS = re.compile(r"\| `(.+?)` \| (.+) \| (.+) \| ([\d.]+) \| (yes|NO) \|")


class Row(Frozen):
    """What came of one point.

    Attributes:
        name: of the point.
        broken: what was broken.
        outcome: how the release ended.
        seconds: of the release and, if need be, the retry.
        missing: what did not hold; empty if all did.
        commit: it was tried at; a plus marks a tree with changes.
        date: when it was tried.
    """

    name: str
    broken: str
    outcome: str
    seconds: float
    missing: str = ""
    commit: str = ""
    date: str = ""

    @property
    def holds(self) -> str:
        """Yes or no."""
        return "NO" if self.missing else "yes"

    def line(self) -> str:
        """For a terminal."""
        said = (
            f"{self.name:<26} {self.holds:<4} {self.seconds:6.1f} s  {self.broken}: {self.outcome}"
        )
        return f"{said}\n    {self.missing}" if self.missing else said


def text(rows: list[Row], names: list[str]) -> str:
    """The table of these points, under a line that says on what and when; names what is missing."""
    on = machine()
    commits = ", ".join(dict.fromkeys(c for row in rows for c in row.commit.split(", ")))
    dates = sorted({day for row in rows for day in row.date.split(" to ")})
    days = " to ".join(dict.fromkeys((dates[0], dates[-1])))
    when = f"{on['device']}, {on['threads']} threads, {days}, tried at commit {commits}"
    cells = [
        f"| `{row.name}` | {row.broken} | {row.outcome} | {row.seconds:.1f} | {row.holds} |\n"
        for row in rows
    ]
    missing = [f"`{name}`" for name in names if name not in {row.name for row in rows}]
    untried = f"\nNot tried yet: {', '.join(missing)}.\n" if missing else ""
    held = sum(not row.missing for row in rows)
    return f"{when}; {held} of {len(rows)} points hold.\n\n{HEADER}{''.join(cells)}{untried}"


def keep(folder: Path, row: Row) -> None:
    """Keep a row with those before it."""
    on = machine()
    tried = row.model_copy(update={"commit": on["commit"], "date": on["date"]})
    with (folder / ROWS).open("a") as rows:
        rows.write(tried.model_dump_json() + "\n")


def kept(folder: Path, names: list[str], page: Path = PAGE) -> list[Row]:
    """The last row of each of these points that were tried in a folder, else that of the page."""
    tried = map(Row.model_validate_json, (folder / ROWS).read_text().splitlines())
    last = {row.name: row for row in [*_on_page(page.read_text()), *tried]}
    return [last[name] for name in names if name in last]


def _on_page(page: str) -> list[Row]:
    """The rows that a page shows, under the date and the commits that stand above them."""
    when = WHEN.search(page)
    if when is None:
        return []
    return [
        Row(
            name=name,
            broken=broken,
            outcome=outcome,
            seconds=float(seconds),
            missing="" if holds == "yes" else "as the page says",
            commit=when[2],
            date=when[1],
        )
        for name, broken, outcome, seconds, holds in CELLS.findall(page)
    ]


def put_into_page(rows: list[Row], names: list[str]) -> None:
    """Put the table into the page."""
    put(PLACE, text(rows, names), PAGE)
