"""Rows of a task as items: what goes out, and what an answer is compared by."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from tasks.core.errors import RecipeError
from tasks.core.recipe_source import Source
from tasks.core.recipe_validation import Task
from tasks.validate.scores.items import items_of, told

TOOL = {"type": "function", "function": {"name": "get_time", "parameters": {}}}
CALL = {"type": "function", "function": {"name": "get_time", "arguments": {"b": 1, "a": "x"}}}
ROW: dict[str, Any] = {
    "messages": [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": " Hello! ", "reasoning": "Be polite."},
    ],
    "thinking": True,
    "tools": [TOOL],
}


def task(items: int = 1, kind: str = "exact_match") -> Task:
    return Task.model_validate(
        {"name": "t", "source": Source(files="t.jsonl"), "items": items, "kind": kind}
    )


def test_the_last_message_is_the_answer_and_is_not_sent() -> None:
    """What is asked has tools and the wish to think, and nothing of the right answer."""
    ((item,),) = (each.items for each in items_of([task()], {"t": [ROW]}))
    asked = json.loads(item.asked)
    assert item.answer == "Hello!"
    assert asked == {
        "messages": ROW["messages"][:1],
        "chat_template_kwargs": {"enable_thinking": True},
        "tools": [TOOL],
    }


def test_calls_compare_by_their_meaning() -> None:
    """Arguments as JSON text and as a mapping, in any order, are one answer; broken JSON is not."""
    said = {"name": "get_time", "arguments": '{"a": "x",  "b": 1}'}
    assert told({"content": None, "tool_calls": [{"function": said}]}) == told(
        {"content": "", "tool_calls": [CALL]}
    )
    broken = {"name": "get_time", "arguments": '{"a": "x", "b": 1'}
    assert told({"tool_calls": [{"function": broken}]}) != told({"tool_calls": [CALL]})
    assert told({"content": 'get_time({"a": "x", "b": 2})'}) != told({"tool_calls": [CALL]})


def test_a_picture_goes_out_with_its_question(tmp_path: Path) -> None:
    """The place of an image takes the bytes of the row's file."""
    picture = tmp_path / "a.png"
    picture.write_bytes(b"\x89PNG...")
    parts = [{"type": "image"}, {"type": "text", "text": "What is it?"}]
    row = {
        "messages": [{"role": "user", "content": parts}, {"role": "assistant", "content": "red"}],
        "image": picture,
    }
    (made,) = items_of([task()], {"t": [row]})
    shown, asked = json.loads(made.items[0].asked)["messages"][0]["content"]
    url: str = shown["image_url"]["url"]
    assert base64.b64decode(url.removeprefix("data:image/png;base64,")) == b"\x89PNG..."
    assert asked == parts[1]


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        ({"messages": ROW["messages"][:1]}, "exact_match"),
        ({"messages": ROW["messages"][1:]}, "exact_match"),
        ({"messages": [ROW["messages"][0], {"role": "assistant", "content": " "}]}, "exact_match"),
        ({"text": "a text"}, "exact_match"),
        (ROW, "perplexity"),
    ],
)  # fmt: skip
def test_a_row_without_an_answer_is_refused(row: dict[str, Any], kind: str) -> None:
    """A row that could not be scored is an error that names it, before anything is served."""
    with pytest.raises(RecipeError, match="row 0 of the task t"):
        items_of([task(kind=kind)], {"t": [row]})


def test_too_few_rows_are_refused() -> None:
    """A task of more items than rows would claim more than it measures."""
    with pytest.raises(RecipeError, match="too few rows"):
        items_of([task(items=2)], {"t": [ROW]})
