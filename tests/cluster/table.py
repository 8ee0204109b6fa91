"""The table of all rounds: `python -m tests.cluster.table FOLDER… [--page]`."""

import argparse
import os
import sys
from pathlib import Path

from tasks.core.manifest import Frozen
from tests.bench.machine import machine
from tests.bench.page import put

PAGE = Path("docs/how-to/gpu-cluster.md")
PLACE = "cluster"
ROUNDS = "rounds.jsonl"
HEADER = "| machines | seconds | speed-up | workers killed | releases |\n|---|---|---|---|---|\n"


class Line(Frozen):
    """One round.

    Attributes:
        machines: how many.
        cores: processors of each; 0 for all that there are.
        seconds: from the orders to the last end.
        killed: moment in seconds and name of each worker that was killed.
        starts: of machines, the first ones included.
        digests: sha256 of the model's large files, by release.
    """

    machines: int
    cores: float
    seconds: float
    killed: tuple[tuple[float, str], ...]
    starts: int
    digests: dict[str, dict[str, str]]

    @property
    def releases(self) -> int:
        """How many were made, each checked to be there once."""
        return len(self.digests)


def keep(folder: Path, line: Line) -> None:
    """Keep a round with those before it, and say that it is through."""
    with (folder / ROUNDS).open("a") as rounds:
        rounds.write(line.model_dump_json() + "\n")
    killed = f", {len(line.killed)} workers killed" if line.killed else ""
    done = f"{line.releases} releases by {line.machines}: {line.seconds:.0f} s{killed}\n"
    sys.stderr.write(done)


def table(lines: list[Line]) -> str:
    """The rounds as text.

    Raises:
        AssertionError: equal orders made other bytes, or the rounds had machines of other sizes.
    """
    assert all(line.digests == lines[0].digests for line in lines), "other bytes"
    (cores,) = {line.cores for line in lines}
    alone = next((line.seconds for line in lines if line.machines == 1), 0.0)
    ordered = sorted(lines, key=lambda line: (len(line.killed) > 0, line.machines))
    rows = "".join(_row(line, alone) for line in ordered)
    return f"{_measured(cores, lines[0].releases)}\n\n{HEADER}{rows}"


def _row(line: Line, alone: float) -> str:
    faster = f"{alone / line.seconds:.2f}" if alone else ""
    killed = str(len(line.killed) or "none")
    made = f"{line.releases}, each once"
    return f"| {line.machines} | {line.seconds:.0f} | {faster} | {killed} | {made} |\n"


def _measured(cores: float, releases: int) -> str:
    said = machine()
    share = f"each machine has {cores:g} of a processor" if cores else "machines share them freely"
    return (
        f"{releases} releases; {said['device']}, {os.cpu_count()} processors for machines and "
        f"servers together, {share}; {said['date']}, commit {said['commit']}"
    )


def main() -> None:
    """Read rounds, compare their bytes, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", type=Path, nargs="+", help="of `tests.cluster.run`")
    parser.add_argument("--page", action="store_true", help="put the table into the docs")
    chosen = parser.parse_args()
    texts = [(folder / ROUNDS).read_text() for folder in chosen.folders]
    lines = [Line.model_validate_json(text) for text in "".join(texts).splitlines()]
    made = table(lines)
    sys.stdout.write(made)
    if chosen.page:
        put(PLACE, made, PAGE)


if __name__ == "__main__":
    main()
