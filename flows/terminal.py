"""What the commands share: the two consoles, options, progress, and the way to a stack."""

import os
import sys
from typing import Annotated, Any

import typer
import yaml
from rich.console import Console
from rich.table import Table

from tasks.core.digest import indented_json
from tasks.core.errors import InputError
from tasks.core.settings import Settings

out = Console(soft_wrap=True)
err = Console(stderr=True, soft_wrap=True)

Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


class Printed:
    """A reporter for the terminal."""

    def note(self, message: str) -> None:
        """Print the line."""
        err.print(message, highlight=False)

    def update(self, fraction: float, message: str) -> None:
        """Print how far it is."""
        err.print(f"{100 * fraction:5.1f} %  {message}", highlight=False)


def connect(*, needed: bool = True) -> None:
    """Use the embedded stack where nothing else is configured.

    Args:
        needed: whether there must be one; else the public Hub and AWS are used without it.

    Raises:
        InputError: it is needed and there is none.
    """
    if os.environ.get("PREFECT_API_URL"):
        return
    from infra.local import stack

    try:
        os.environ.update(stack.environment(Settings().home))
    except InputError:
        if needed:
            raise


def print_json(value: Any) -> None:
    """Print a value, or models, for programs."""
    sys.stdout.write(indented_json(value))


def show(values: dict[str, Any], *, as_json: bool) -> None:
    """Print a mapping for programs or for people."""
    if as_json:
        print_json(values)
        return
    table = Table(show_header=False, box=None)
    for name, value in values.items():
        table.add_row(name, str(value))
    out.print(table)


def changes(assignments: list[str]) -> dict[str, Any]:
    """Values by dotted key, from `KEY=VALUE` with the value as YAML.

    Raises:
        InputError: an assignment of another form.
    """
    changes = {}
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not equals or not key:
            raise InputError(
                "--set takes KEY=VALUE", expected="such as tuning.iters=50", found=assignment
            )
        changes[key] = yaml.safe_load(value)
    return changes
