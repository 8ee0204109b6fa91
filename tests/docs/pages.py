"""The pages that people read, and the commands in them."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SHELL = ("", "bash", "sh", "console")
PROGRAM = "roundhouse"


@dataclass(frozen=True)
class Command:
    """One command of ours in a page.

    Attributes:
        page: where it stands, relative to the project.
        words: after the program's name.
    """

    page: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.page}: {' '.join(self.words)}"


def blocks(page: Path) -> list[str]:
    """The fenced blocks that are for a shell, lines that go on being joined."""
    found = FENCE.findall(page.read_text())
    return [text.replace("\\\n", " ") for language, text in found if language in SHELL]


def commands() -> Iterator[Command]:
    """Every line of a block that runs our program; the generated page's usage lines are none."""
    for page in PAGES:
        for line in "\n".join(blocks(page)).splitlines():
            words = _words(line)
            if words and words[0].rpartition("/")[2] == PROGRAM:
                yield Command(str(page.relative_to(ROOT)), tuple(words[1:]))


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line.removeprefix("$ "), comments=True)
    except ValueError:
        return []
