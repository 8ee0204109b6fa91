"""Held-out texts as token ids, made by the server's own tokenizer and chat template."""

from collections.abc import Sequence
from typing import Any

from tasks.core.errors import RecipeError
from tasks.core.progress import Reporter
from tasks.core.recipe import Validation
from tasks.validate.server import Server

SHORTEST = 16
Row = dict[str, Any]


def tokenize(
    server: Server, rows: Sequence[Row], validation: Validation, reporter: Reporter
) -> list[list[int]]:
    """The first held-out texts that are long enough, cut to the recipe's length.

    Args:
        server: serves the base; a chat goes through the base's chat template.
        rows: with `text`, or with `messages` (maybe `tools` and `thinking`); rows with an image
            are passed over, since text is what is compared.
        validation: how many texts, of how many tokens at most.
        reporter: is told how far it is.

    Returns:
        Token ids, a list of at least 16 for each text, special tokens included.

    Raises:
        RecipeError: there are fewer texts than the recipe asks for.
    """
    most = min(validation.tokens, validation.serving.max_model_len - 1)
    texts: list[list[int]] = []
    for row in rows:
        if len(texts) == validation.texts:
            break
        if "image" not in row and len(ids := _ids(server, row)) >= SHORTEST:
            texts.append(ids[:most])
            reporter.update(len(texts) / validation.texts, "tokenizing held-out texts")
    if len(texts) < validation.texts:
        raise RecipeError(
            "there are too few held-out texts",
            expected=f"{validation.texts} texts of at least {SHORTEST} tokens",
            found=f"{len(texts)} in {len(rows)} rows",
            remedy="lower validation.texts, or name more rows in validation.heldout",
        )
    return texts


def _ids(server: Server, row: Row) -> list[int]:
    if "messages" in row:
        body = {
            "messages": row["messages"],
            "tools": row.get("tools") or None,
            "add_generation_prompt": False,
            "chat_template_kwargs": {"enable_thinking": bool(row.get("thinking"))},
        }
    else:
        body = {"prompt": row["text"], "add_special_tokens": True}
    ids: list[int] = server.post("/tokenize", **body)["tokens"]
    return ids
