"""Rows rendered by the base's own chat template, which is a stranger's program.

transformers runs it in Jinja's sandbox, where it reaches neither files nor Python's insides. What
it raises there, whatever that is, is the base's fault and no accident.
"""

from typing import Any

from tasks.calibrate.job import Row
from tasks.core.errors import BaseModelError


def rendered(renderer: Any, messages: list[dict[str, Any]], row: Row) -> str:
    """The text of a chat.

    Args:
        renderer: the base's tokenizer or processor.
        messages: the chat.
        row: whose other keys the template is told.

    Raises:
        BaseModelError: the template cannot render it.
    """
    try:
        text = renderer.apply_chat_template(messages, tokenize=False, **options(row))
    except Exception as error:
        raise BaseModelError(
            "the base's chat template does not render a chat of the calibration set",
            expected="a template that takes roles, contents and tools, in Jinja's sandbox",
            found=f"{type(error).__name__}: {error}"[:300],
            remedy="read the base's chat_template.jinja; if rows have roles or tools that it does "
            "not know, name other rows in the recipe",
        ) from error
    return str(text)


def options(row: Row) -> dict[str, Any]:
    """What a chat template is told beside the messages."""
    tools = {"tools": row["tools"]} if row.get("tools") else {}
    return tools | {"enable_thinking": bool(row.get("thinking"))}
