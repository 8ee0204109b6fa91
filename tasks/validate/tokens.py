"""Held-out texts as token ids, made by the server's own tokenizer and chat template."""

import base64
import json
import mimetypes
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tasks.core.errors import RecipeError
from tasks.core.manifest import Frozen
from tasks.core.progress import Reporter
from tasks.core.recipe_validation import Validation
from tasks.validate.server import Server

SHORTEST, FEWEST_SCORED = 16, 4
Row = dict[str, Any]


class HeldoutText(Frozen):
    """One held-out text.

    Attributes:
        stratum: its kind.
        ids: token ids, special tokens included.
        start: place of the first token that is scored; of a chat the last answer alone is.
        chat: of a text with an image the request's own parts, as JSON: token ids alone do not
            carry the image, so the server makes them anew, and they must come out the same.
    """

    stratum: str
    ids: tuple[int, ...]
    start: int = 1
    chat: str = ""


def tokenize(
    server: Server, rows: Sequence[Row], validation: Validation, reporter: Reporter
) -> list[HeldoutText]:
    """The first held-out texts of each kind that are long enough, cut to the recipe's length.

    Kinds take turns, so that any first part has as many of each as there are.

    Args:
        server: serves the base; a chat goes through the base's chat template.
        rows: with `text`, or with `messages` (maybe `tools` and `thinking`, or an `image`).
        validation: how many texts at least and at most, of how many tokens.
        reporter: is told how far it is.

    Returns:
        At least `texts` and at most `most_texts` of them, each of at least 16 tokens.

    Raises:
        RecipeError: there are fewer texts than the recipe asks for.
    """
    most = min(validation.tokens, validation.serving.max_model_len - 1)
    texts: list[HeldoutText] = []
    for row in _in_turns(rows):
        if len(texts) == validation.budget:
            break
        if (text := _text(server, row, most)) is not None:
            texts.append(text)
            reporter.update(len(texts) / validation.budget, "tokenizing held-out texts")
    if len(texts) < validation.texts:
        raise RecipeError(
            "there are too few held-out texts",
            expected=f"{validation.texts} texts of at least {SHORTEST} tokens",
            found=f"{len(texts)} in {len(rows)} rows",
            remedy="lower validation.texts, or name more rows in validation.heldout",
        )
    return texts


def stratum_of(row: Row) -> str:
    """Kind of a row: as it says (`stratum`), or images, tool calls, dialogue, or its `source`."""
    if told := row.get("stratum"):
        return str(told)
    if row.get("image"):
        return "images"
    if "messages" in row:
        return "tool calls" if row.get("tools") else "dialogue"
    return str(row.get("source") or "text")


def _in_turns(rows: Sequence[Row]) -> Iterator[Row]:
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(stratum_of(row), []).append(row)
    for turn in range(max(map(len, groups.values()), default=0)):
        for group in groups.values():
            if turn < len(group):
                yield group[turn]


def _text(server: Server, row: Row, most: int) -> HeldoutText | None:
    """A row as ids; None where it is too short, or its answer lies beyond the cut."""
    if row.get("image"):
        return _with_image(server, row, most)
    if "messages" in row:
        ids, start = _chat(server, row)
    else:
        ids, start = _ask(server, prompt=row["text"], add_special_tokens=True), 1
    ids = ids[:most]
    if len(ids) < SHORTEST or len(ids) - start < FEWEST_SCORED:
        return None
    return HeldoutText(stratum=stratum_of(row), ids=tuple(ids), start=start)


def _with_image(server: Server, row: Row, most: int) -> HeldoutText | None:
    """A chat with an image; it is not cut, so that its image stays whole."""
    messages = [shown(as_request(message), row["image"]) for message in row["messages"]]
    chat = {
        "messages": messages,
        "add_generation_prompt": False,
        "chat_template_kwargs": {"enable_thinking": bool(row.get("thinking"))},
    }
    ids = _prompt_ids(server, chat)
    asked = _prompt_ids(server, chat | {"messages": messages[:-1], "add_generation_prompt": True})
    start = _parting(ids, asked)
    if len(ids) > most or len(ids) - start < FEWEST_SCORED:
        return None
    chat_text = json.dumps(chat, ensure_ascii=False)
    return HeldoutText(stratum=stratum_of(row), ids=tuple(ids), start=start, chat=chat_text)


def _prompt_ids(server: Server, chat: Row) -> list[int]:
    """Ids of a chat with its image's places among them, as the model sees it."""
    answer = server.post(
        "/v1/chat/completions", **chat, max_tokens=1, temperature=0, return_token_ids=True
    )
    ids: list[int] = answer["prompt_token_ids"]
    return ids


def _parting(ids: list[int], asked: list[int]) -> int:
    """Place of the first token that both do not share; not the first of all."""
    pairs = zip(ids, asked, strict=False)
    same = next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(ids), len(asked)))
    return max(1, same)


def shown(message: Row, image: Path | None) -> Row:
    """A message whose place of an image holds the row's picture."""
    if not isinstance(message.get("content"), list) or image is None:
        return message
    parts = [
        {"type": "image_url", "image_url": {"url": picture_url(image)}}
        if part["type"] == "image"
        else part
        for part in message["content"]
    ]
    return message | {"content": parts}


def picture_url(image: Path) -> str:
    """A picture as a `data:` URL."""
    kind = mimetypes.guess_type(image.name)[0] or "image/png"
    return f"data:{kind};base64,{base64.b64encode(image.read_bytes()).decode()}"


def _chat(server: Server, row: Row) -> tuple[list[int], int]:
    """Ids of a chat, and where the last message begins if the model is its author."""
    shared = {
        "tools": row.get("tools") or None,
        "chat_template_kwargs": {"enable_thinking": bool(row.get("thinking"))},
    }
    messages = [as_request(message) for message in row["messages"]]
    *before, last = messages
    ids = _ask(server, messages=messages, add_generation_prompt=False, **shared)
    if last["role"] != "assistant" or not before:
        return ids, 1
    asked = _ask(server, messages=before, add_generation_prompt=True, **shared)
    return ids, _parting(ids, asked)


def as_request(message: Row) -> Row:
    """A message as OpenAI's protocol has it.

    Arguments of a tool call are a mapping for a chat template, and JSON text in a request, which
    the server reads for the template.
    """
    if not message.get("tool_calls"):
        return message
    calls = [call | {"function": _with_text(call["function"])} for call in message["tool_calls"]]
    return message | {"tool_calls": calls}


def _with_text(function: Row) -> Row:
    arguments = function["arguments"]
    if isinstance(arguments, str):
        return function
    return function | {"arguments": json.dumps(arguments, ensure_ascii=False)}


def _ask(server: Server, **body: object) -> list[int]:
    ids: list[int] = server.post("/tokenize", **body)["tokens"]
    return ids
