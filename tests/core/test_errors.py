"""The error tree: documented, picklable, and with the exit codes the command line promises."""

import inspect
import json
import pickle
import re

import pytest

from tasks.core import errors
from tasks.core.errors import PermanentError, RoundhouseError, TransientError

CLASSES = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, RoundhouseError)
]


def _drawn() -> dict[str, str]:
    """Parent of each class, as the drawing at the top of the file has it."""
    parents: dict[str, str] = {}
    path = ["RoundhouseError"]
    for line in (errors.__doc__ or "").splitlines():
        if found := re.match(r"([│ ]*)[├└]── (\w+)", line):
            depth = len(found[1]) // 4 + 1
            path = [*path[:depth], found[2]]
            parents[found[2]] = path[-2]
    return parents


def test_the_drawing_is_the_tree() -> None:
    """Every class stands in the drawing once, below its base class."""
    assert _drawn() == {
        k.__name__: k.__mro__[1].__name__ for k in CLASSES if k is not RoundhouseError
    }


@pytest.mark.parametrize("kind", CLASSES)
def test_errors_pickle(kind: type[RoundhouseError]) -> None:
    """An error crosses processes with its type, its parts and its text."""
    parts = {"expected": "whole", "found": "two halves", "remedy": "glue", "verdict": "ANOMALOUS"}
    error = kind("it broke", **parts)
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert type(copy) is kind
    assert vars(copy) == vars(error)
    assert str(copy) == str(error)
    again = errors.error_from(**json.loads(json.dumps(error.told())))
    assert (type(again), vars(again)) == (kind, vars(error))


@pytest.mark.parametrize("kind", CLASSES)
def test_exit_codes_follow_the_tree(kind: type[RoundhouseError]) -> None:
    """3 for what may pass by itself, 1 for what a check refused, 2 for the rest."""
    if issubclass(kind, TransientError):
        expected = 3
    elif issubclass(kind, errors.CheckFailed | errors.IntegrityError):
        expected = 1
    else:
        expected = 2
    assert kind.exit_code == expected
    assert kind.transient is issubclass(kind, TransientError)


def test_transient_and_permanent_share_no_class() -> None:
    """An error is one or the other, so that retrying is never a matter of order."""
    assert not any(issubclass(k, TransientError) and issubclass(k, PermanentError) for k in CLASSES)


def test_a_message_has_a_line_for_each_part_that_was_given() -> None:
    """What was not given leaves no empty line."""
    error = RoundhouseError("it broke", found="two halves", remedy="glue")
    assert str(error) == "it broke\n  found: two halves\n  to do: glue"
