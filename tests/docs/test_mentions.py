"""What the docs name exists, and what exists is named in them."""

import re
from pathlib import Path
from typing import Any

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from flows.cli import app
from infra.local.ports import PUBLIC, VARIABLE
from infra.local.workers import APART
from tasks.core.recipe import shipped_recipes
from tasks.core.settings import Settings
from tests.docs.pages import PAGES, ROOT, Command, commands

CLI = get_command(app)
HANDWRITTEN = [page for page in PAGES if "reference" not in page.parts]
TEXT = {page.relative_to(ROOT).as_posix(): page.read_text() for page in PAGES}
PLAIN = "\n".join(page.read_text() for page in HANDWRITTEN)
BUILD = {"ROUNDHOUSE_STACK"} | {VARIABLE + name.upper() for name in PUBLIC} | {APART}
"""Variables that are read elsewhere than in the settings: ports and homes of the embedded stack."""
USAGE = "[OPTIONS]"


def _commands() -> dict[str, Any]:
    assert isinstance(CLI, TyperGroup)
    return dict(CLI.commands)


@pytest.mark.parametrize(
    "command", list(commands()), ids=lambda c: f"{c.page}: {' '.join(c.words)}"
)
def test_commands_in_pages_are_ones(command: Command) -> None:
    """Each command line of a page is taken by the real parser: names, options, kinds of values."""
    if USAGE in command.words or command.words == ("--help",):
        return
    first, rest = command.words[0], [w for w in command.words[1:] if w != "…"]
    for name in first.split("|"):
        _commands()[name].make_context(name, list(rest))


def test_every_command_is_shown_somewhere() -> None:
    """A person meets each command on a page that somebody wrote, not in the reference alone."""
    unnamed = [name for name in _commands() if f"roundhouse {name}" not in PLAIN]
    assert unnamed == []


def test_commands_named_in_passing_exist() -> None:
    """`roundhouse x` in a sentence is a command as well."""
    named = set(re.findall(r"`(?:\.venv/flow/bin/)?roundhouse ([a-z]+)", PLAIN))
    assert named <= set(_commands())


def test_settings_in_pages_are_ones() -> None:
    """Each ROUNDHOUSE_ variable that a page names is read by somebody."""
    ours = {f"ROUNDHOUSE_{name.upper()}" for name in Settings.model_fields} | BUILD
    named = {
        name for text in TEXT.values() for name in re.findall(r"\bROUNDHOUSE_[A-Z_0-9]+\b", text)
    }
    assert named - ours == set()


def test_every_setting_is_documented() -> None:
    """Each setting stands in the reference, under the name that the environment has for it."""
    page = TEXT["docs/reference/settings.md"]
    rows = re.findall(r"^\| `([A-Z_0-9]+)`", page, re.MULTILINE)
    assert len(rows) == len(Settings.model_fields)


def test_make_targets_in_pages_are_ones() -> None:
    """`make x` in a page is a target."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:^|`)make ([a-z-]+)", PLAIN, re.MULTILINE))
    assert named
    assert named <= targets


def test_recipes_in_pages_are_ones() -> None:
    """A recipe that a command names comes with Roundhouse, or is a file or a placeholder."""
    named = {
        command.words[at + 1]
        for command in commands()
        for at, word in enumerate(command.words)
        if word == "--recipe"
    }
    assert {n for n in named if not n.endswith((".yaml", ".yml")) and n.islower()} <= set(
        shipped_recipes()
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    """Files that a page links to exist, and so do their headings."""
    text = TEXT[page.relative_to(ROOT).as_posix()]
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", text):
        path, _, heading = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), target
        if heading:
            assert heading in _anchors(there.read_text()), target


def _anchors(text: str) -> set[str]:
    """Headings as the anchors that they become."""
    heads = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}
