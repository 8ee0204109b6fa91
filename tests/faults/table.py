"""The table of all points: on the terminal as they end, and in docs/reliability.md."""

from pathlib import Path

from tasks.core.manifest import Frozen
from tests.bench.machine import machine
from tests.bench.page import put

PAGE = Path("docs/reliability.md")
PLACE = "faults"
ROWS = "rows.jsonl"
HEADER = "| point | what was broken | outcome | seconds | holds |\n|---|---|---|---|---|\n"


class Row(Frozen):
    """What came of one point.

    Attributes:
        name: of the point.
        broken: what was broken.
        outcome: how the release ended.
        seconds: of the release and, if need be, the retry.
        missing: what did not hold; empty if all did.
        commit: it was tried at; a plus marks a tree with changes.
    """

    name: str
    broken: str
    outcome: str
    seconds: float
    missing: str = ""
    commit: str = ""

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
    commits = ", ".join(dict.fromkeys(row.commit for row in rows))
    when = f"{on['device']}, {on['threads']} threads, {on['date']}, tried at commit {commits}"
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
    tried = row.model_copy(update={"commit": machine()["commit"]})
    with (folder / ROWS).open("a") as rows:
        rows.write(tried.model_dump_json() + "\n")


def kept(folder: Path, names: list[str]) -> list[Row]:
    """The last row of each of these points that were tried in a folder."""
    rows = map(Row.model_validate_json, (folder / ROWS).read_text().splitlines())
    last = {row.name: row for row in rows}
    return [last[name] for name in names if name in last]


def put_into_page(rows: list[Row], names: list[str]) -> None:
    """Put the table into the page."""
    put(PLACE, text(rows, names), PAGE)
