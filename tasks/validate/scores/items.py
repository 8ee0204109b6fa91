"""A task's rows as items: what is asked, and the right answer."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tasks.core.errors import RecipeError
from tasks.core.manifest import Frozen
from tasks.core.recipe_validation import Task
from tasks.validate.tokens import as_request, shown

Row = dict[str, Any]
TaskRows = Mapping[str, Sequence[Row]]
"""Rows of each task, by its name."""


class Item(Frozen):
    """One item.

    Attributes:
        asked: of a chat the request's own parts as JSON, of a text the text.
        answer: the right answer, as `told` writes it; empty for a text.
    """

    asked: str
    answer: str = ""


class TaskItems(Frozen):
    """A task with its items."""

    task: Task
    items: tuple[Item, ...]


def items_of(tasks: Sequence[Task], rows: TaskRows) -> tuple[TaskItems, ...]:
    """The items of every task, from the first of its rows.

    Args:
        tasks: of the recipe.
        rows: of each task, by its name.

    Raises:
        RecipeError: too few rows, or a row that is no chat with an answer, or no text.
    """
    return tuple(TaskItems(task=task, items=_items(task, rows[task.name])) for task in tasks)


def told(message: Row) -> str:
    """An assistant's message as one line that two models can be compared by.

    Words are themselves; calls of tools are their names and arguments, sorted by argument. The
    thought that led there is no part of it.
    """
    calls = [call["function"] for call in message.get("tool_calls") or []]
    if not calls:
        return str(message.get("content") or "").strip()
    return " ".join(f"{call['name']}({_arguments(call['arguments'])})" for call in calls)


def _arguments(said: str | Row) -> str:
    try:
        read = json.loads(said) if isinstance(said, str) else said
    except ValueError:
        return f"no JSON: {said}"
    return json.dumps(read, sort_keys=True, ensure_ascii=False)


def _items(task: Task, rows: Sequence[Row]) -> tuple[Item, ...]:
    if len(rows) < task.items:
        raise RecipeError(
            f"the task {task.name} has too few rows",
            expected=f"at least {task.items} (items)",
            found=f"{len(rows)} rows",
            remedy="lower the task's items, or name more rows in its source",
        )
    make = _chat if task.kind == "exact_match" else _text
    return tuple(make(task, number, row) for number, row in enumerate(rows[: task.items]))


def _text(task: Task, number: int, row: Row) -> Item:
    if not row.get("text"):
        raise _unfit(task, number, "text")
    return Item(asked=row["text"])


def _chat(task: Task, number: int, row: Row) -> Item:
    *before, last = row.get("messages") or [{}]
    if not before or last.get("role") != "assistant" or not (answer := told(last)):
        raise _unfit(task, number, "messages, the last of them the assistant's: the right answer")
    asked = {
        "messages": [shown(as_request(message), row.get("image")) for message in before],
        "chat_template_kwargs": {"enable_thinking": bool(row.get("thinking"))},
    }
    tools = {"tools": row["tools"]} if row.get("tools") else {}
    return Item(asked=json.dumps(asked | tools, ensure_ascii=False), answer=answer)


def _unfit(task: Task, number: int, expected: str) -> RecipeError:
    return RecipeError(
        f"row {number} of the task {task.name} is no item of the kind {task.kind}",
        expected=expected,
        remedy="mend the row, or the task's kind",
    )
