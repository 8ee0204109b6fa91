"""Puts results into a page, between the marks of their place."""

import re
from pathlib import Path

PAGE = Path("docs/performance.md")


def put(place: str, text: str, page: Path = PAGE) -> None:
    """Replace what stands between `<!-- place -->` and `<!-- /place -->`.

    Raises:
        ValueError: the page has no such place.
    """
    marks = re.compile(rf"(<!-- {place} -->\n).*?(<!-- /{place} -->)", re.DOTALL)
    made, count = marks.subn(lambda found: f"{found[1]}{text}{found[2]}", page.read_text())
    if count != 1:
        raise ValueError(f"{page} has {count} places {place}, not one")
    page.write_text(made)


def named(machine: dict[str, str]) -> str:
    """A line that says on what, when and of which commit."""
    return (
        f"{machine['device']}, {machine['threads']} threads, torch {machine['torch']}, "
        f"{machine['date']}, commit {machine['commit']}\n\n"
    )
