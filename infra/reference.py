"""Writes docs/reference from the code: recipes, settings, command line.

    python -m infra.reference [--check]

`--check` changes nothing and exits 1 when a page is out of date.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import griffe
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from typer import Context
from typer.cli import get_docs_for_click
from typer.main import get_command

from flows.cli import app
from tasks.core import recipe
from tasks.core.manifest import Frozen
from tasks.core.recipe_source import Source
from tasks.core.recipe_validation import Limits, Repair, Serving, Validation
from tasks.core.settings import Settings

FOLDER = Path(__file__).parents[1] / "docs" / "reference"
RECIPE_PARTS = (
    recipe.Recipe,
    recipe.Calibration,
    Source,
    recipe.Tuning,
    Validation,
    Serving,
    Limits,
    Repair,
)
GENERATED = "<!-- Written by `make docs` from the code. -->\n"


def recipes() -> str:
    """The page of all recipe keys."""
    shipped = "".join(
        f"\n### {name}\n\n```yaml\n{(recipe.SHIPPED / f'{name}.yaml').read_text()}```\n"
        for name in recipe.shipped_recipes()
    )
    parts = "".join(_model(part) for part in RECIPE_PARTS)
    return f"{GENERATED}\n# Recipes\n\n{_first(recipe.__doc__)}\n{parts}\n## Shipped\n{shipped}"


def settings() -> str:
    """The page of all environment variables."""
    rows = "".join(
        f"| {_variables(name, field)} | `{_default(field)}` | {field.description} |\n"
        for name, field in Settings.model_fields.items()
    )
    return (
        f"{GENERATED}\n# Settings\n\n{_first(Settings.__doc__)}\n\n"
        f"| variable | default | |\n|---|---|---|\n{rows}"
    )


def command_line() -> str:
    """The page of all commands."""
    command = get_command(app)
    text = get_docs_for_click(obj=command, ctx=Context(command), name="roundhouse")
    return f"{GENERATED}\n{text.rstrip()}\n"


def _model(model: type[Frozen]) -> str:
    described = dict(_attributes(model.__doc__ or ""))
    rows = "".join(
        f"| `{name}` | `{_type(field)}` | `{_default(field)}` | {described[name]} |\n"
        for name, field in model.model_fields.items()
    )
    title = model.__name__.lower()
    return (
        f"\n## {title}\n\n{_first(model.__doc__)}\n\n"
        f"| key | type | default | |\n|---|---|---|---|\n{rows}"
    )


def _attributes(docstring: str) -> Iterator[tuple[str, str]]:
    for section in griffe.parse_google(griffe.Docstring(docstring)):
        if section.kind is griffe.DocstringSectionKind.attributes:
            for attribute in section.value:
                yield attribute.name, " ".join(attribute.description.split())


def _first(docstring: str | None) -> str:
    return (docstring or "").strip().partition("\n\n")[0].replace("\n", " ")


def _type(field: FieldInfo) -> str:
    kind = field.annotation
    text = kind.__name__ if isinstance(kind, type) else str(kind)
    return re.sub(r"tasks\.core\.\w+\.|typing\.", "", text).replace("|", "or")


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, Frozen):
        return "see below"
    return "" if value is PydanticUndefined else str(value)


def _variables(name: str, field: FieldInfo) -> str:
    choices = getattr(field.validation_alias, "choices", None)
    if choices is None:
        return f"`ROUNDHOUSE_{name.upper()}`"
    return ", ".join(f"`{choice}`" for choice in choices if str(choice).isupper())


PAGES = {"recipes.md": recipes, "settings.md": settings, "command-line.md": command_line}


def main(arguments: list[str]) -> int:
    """Write the pages, or with `--check` say which are out of date."""
    stale = []
    for name, page in PAGES.items():
        path, text = FOLDER / name, page()
        if not path.is_file() or path.read_text() != text:
            stale.append(name)
            if "--check" not in arguments:
                path.write_text(text)
    if stale and "--check" in arguments:
        sys.stderr.write(f"docs/reference is out of date: {', '.join(stale)}; run make docs\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
