"""Chats rendered by the base's own chat template, which is a stranger's program.

transformers runs it in Jinja's sandbox, where it reaches neither files nor Python's insides, and
where one `range` has at most 100 000 numbers. Loops within loops, long strings and large powers
have no limit there, so it runs in a process that has one. What it raises, whatever that is, is the
base's fault and no accident.
"""

from functools import partial
from types import TracebackType
from typing import Any, Self

from tasks.core.confined import Confined, Limits, Unanswered
from tasks.core.errors import BaseModelError


class ChatTemplate:
    """The chat template of a tokenizer or processor; use it as a context manager.

    Args:
        renderer: the base's tokenizer or processor, as transformers loads it.
        limits: of each chat.
    """

    def __init__(self, renderer: Any, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._confined = Confined(partial(_rendered, renderer), self._limits)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._confined.__exit__(kind, error, trace)

    def render(self, messages: list[dict[str, Any]], row: dict[str, Any]) -> str:
        """The text of a chat.

        Args:
            messages: the chat.
            row: whose `tools` and `thinking` the template is told.

        Raises:
            BaseModelError: the template does not render it, or not within the limits.
        """
        try:
            return self._confined.ask({"messages": messages, **options(row)})
        except Unanswered as error:
            limits = self._limits
            raise BaseModelError(
                "the base's chat template does not render a chat",
                expected="a template that takes roles, contents and tools, in Jinja's sandbox, "
                f"within {limits.seconds:g} s, {limits.memory >> 20} MiB and {limits.characters} "
                "characters",
                found=str(error),
                remedy="read the base's chat_template.jinja; if rows have roles or tools that it "
                "does not know, name other rows in the recipe",
            ) from error


def options(row: dict[str, Any]) -> dict[str, Any]:
    """What a chat template is told beside the messages."""
    tools = {"tools": row["tools"]} if row.get("tools") else {}
    return tools | {"enable_thinking": bool(row.get("thinking"))}


def _rendered(renderer: Any, question: dict[str, Any]) -> str:
    messages = question.pop("messages")
    return str(renderer.apply_chat_template(messages, tokenize=False, **question))
