"""The demo's rows as token ids, made without a server."""

import json
from functools import partial
from typing import Any

from infra.local.base_model import layout
from tasks.validate.tokens import FEWEST_SCORED, HeldoutText, stratum_of

LENGTH = 160


def heldout(tokenizer: Any) -> list[HeldoutText]:
    """Held-out texts and chats, cut to 160 tokens; of a chat the answer alone is scored."""
    return [*_texts(tokenizer, "heldout"), *_texts(tokenizer, "heldout_chats")]


def calibration(tokenizer: Any) -> list[list[int]]:
    """The first 160 token ids of every calibration row that has as many."""
    rows = [row["messages"] for row in _rows("calibration")]
    found = [list(tokenizer.apply_chat_template(row, return_dict=False)) for row in rows]
    return [ids[:LENGTH] for ids in found if len(ids) >= LENGTH]


def _rows(name: str) -> list[dict[str, Any]]:
    lines = (layout.ASSETS / f"{name}.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def _texts(tokenizer: Any, name: str) -> list[HeldoutText]:
    texts = []
    for row in _rows(name):
        ids, start = _ids(tokenizer, row)
        ids = ids[:LENGTH]
        if len(ids) - start >= FEWEST_SCORED:
            texts.append(HeldoutText(stratum=stratum_of(row), ids=tuple(ids), start=start))
    return texts


def _ids(tokenizer: Any, row: dict[str, Any]) -> tuple[list[int], int]:
    """All ids of a row, and the place of the first that is scored."""
    if "text" in row:
        return tokenizer(row["text"])["input_ids"], 1
    render = partial(
        tokenizer.apply_chat_template,
        tools=row.get("tools"), enable_thinking=row["thinking"], return_dict=False,
    )  # fmt: skip
    ids = render(row["messages"])
    asked = render(row["messages"][:-1], add_generation_prompt=True)
    pairs = zip(ids, asked, strict=False)
    return ids, next((n for n, (a, b) in enumerate(pairs) if a != b), len(asked))
