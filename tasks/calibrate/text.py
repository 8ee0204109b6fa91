"""Token ids of rows, and samples of exactly equal length made of them.

A chat is rendered by the base's own template, which writes its special tokens, and tokenized once
without adding any more; a plain text gets exactly one beginning-of-sequence token. A sample starts
where a row starts. Rows follow until it is full, and what does not fit of the last one is dropped:
a long row is cut, short rows share a sample, and no sample is padded.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from tasks.calibrate.job import Part, Row
from tasks.core.chat_template import ChatTemplate
from tasks.core.errors import InputError


@dataclass(frozen=True)
class TokenRow:
    """A row as token ids; `number` counts the rows of its source from 0."""

    number: int
    kind: Literal["text", "chat"]
    ids: list[int]


def order(count: int, seed: int) -> list[int]:
    """The numbers below `count` in an order that follows from the seed alone."""
    return sorted(range(count), key=lambda n: hashlib.sha256(f"{seed}:{n}".encode()).digest())


def render(row: Row, tokenizer: Any, chats: ChatTemplate) -> list[int]:
    """Token ids of a row, with exactly the special tokens its kind has.

    Args:
        row: has `messages` (maybe with `tools` and `thinking`) or `text`.
        tokenizer: the base's.
        chats: its chat template.

    Raises:
        BaseModelError: the base's chat template does not render it.
    """
    if "messages" not in row:
        return _with_bos(_tokens(row["text"], tokenizer), tokenizer.bos_token_id)
    return _tokens(chats.render(row["messages"], row), tokenizer)


def _tokens(text: str, tokenizer: Any) -> list[int]:
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids


def _with_bos(ids: list[int], bos: int | None) -> list[int]:
    return ids if bos is None or not ids or ids[0] == bos else [bos, *ids]


def token_rows(
    rows: list[Row], tokenizer: Any, chats: ChatTemplate, seed: int, forbidden: int | None
) -> Iterator[TokenRow]:
    """Rows as token ids, in the seed's order; empty rows and repeated ones are left out.

    Args:
        rows: of the text source.
        tokenizer: the base's.
        chats: its chat template.
        seed: of the order.
        forbidden: token that stands for an image, which a text row cannot have.

    Raises:
        InputError: a row shows an image.
        BaseModelError: the base's chat template does not render a row.
    """
    seen: set[bytes] = set()
    for number in order(len(rows), seed):
        ids = render(rows[number], tokenizer, chats)
        mark = hashlib.sha256(repr(ids).encode()).digest()
        if not ids or mark in seen:
            continue
        if forbidden in ids:
            raise InputError(
                f"row {number} of calibration.source shows an image",
                expected="rows of text and chats",
                remedy="name its file under calibration.images",
            )
        seen.add(mark)
        yield TokenRow(number, "chat" if "messages" in rows[number] else "text", ids)


class Filler:
    """Fills samples from a stream of rows.

    Args:
        rows: in the order in which they are taken.
        seqlen: tokens of a sample.
    """

    def __init__(self, rows: Iterable[TokenRow], seqlen: int) -> None:
        self._rows = iter(rows)
        self._seqlen = seqlen
        self.taken = 0

    def take(self) -> TokenRow | None:
        """The next row, or None at the end."""
        row = next(self._rows, None)
        self.taken += len(row.ids) if row else 0
        return row

    def fill(self, ids: list[int], parts: list[Part], first: TokenRow | None = None) -> bool:
        """Append rows to `ids` until it holds `seqlen` tokens; False where the rows end first."""
        row = first
        while len(ids) < self._seqlen:
            row = row or self.take()
            if row is None:
                return False
            kept = row.ids[: self._seqlen - len(ids)]
            ids += kept
            parts.append(
                Part(
                    place="calibration.source",
                    row=row.number,
                    tokens=len(kept),
                    whole=len(kept) == len(row.ids),
                )
            )
            row = None
        return True
