"""Held-out rows: their kinds, and where a chat is scored."""

import pytest

from tasks.validate.tokens import as_request, stratum_of


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        ({"text": "a"}, "text"),
        ({"text": "a", "source": "boolq"}, "boolq"),
        ({"messages": []}, "dialogue"),
        ({"messages": [], "tools": [{}]}, "tool calls"),
        ({"messages": [], "tools": [{}], "stratum": "agents"}, "agents"),
    ],
)
def test_a_row_has_a_kind(row: dict[str, object], kind: str) -> None:
    """What a row says of itself comes first, then what it holds, then where it is from."""
    assert stratum_of(row) == kind


def test_arguments_of_a_tool_call_are_sent_as_text() -> None:
    """Rows hold what chat templates take, a mapping; OpenAI's protocol wants JSON text."""
    call = {"type": "function", "function": {"name": "tell", "arguments": {"to": "Jürgen"}}}
    (sent,) = as_request({"role": "assistant", "tool_calls": [call]})["tool_calls"]
    assert sent["function"] == {"name": "tell", "arguments": '{"to": "Jürgen"}'}
    again = as_request({"role": "assistant", "tool_calls": [sent]})
    assert again["tool_calls"] == [sent]
