"""Where each sample comes from, and the refusal of rows that the gate compares on.

A candidate calibrated on the held-out texts would look better than it is. So a row that a sample
uses may not be a held-out row, contain one, or be part of one, after Unicode normalization
(NFKC, case folded, white space made single).
"""

import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tasks.calibrate.job import CONTENT, Result, Row
from tasks.core.digest import sha256_file, sha256_json
from tasks.core.errors import InputError

TELLING = 32
"""Characters from which on a normalized text is compared by containment: titles prove nothing."""


def row_digest(row: Row) -> str:
    """Digest of what a sample can hold of a row; an image counts by the bytes of its file."""
    image = {"image": sha256_file(Path(row["image"]))} if "image" in row else {}
    return sha256_json({key: row[key] for key in CONTENT if key in row} | image)


def spoken(row: Row) -> str:
    """All text of a row, normalized."""
    found = [row["text"]] if "messages" not in row else list(_said(row["messages"]))
    folded = unicodedata.normalize("NFKC", "\n".join(found)).casefold()
    return " ".join(folded.split())


def _said(messages: list[dict[str, Any]]) -> Iterable[str]:
    for message in messages:
        content = message.get("content") or ""
        parts = [{"text": content}] if isinstance(content, str) else content
        yield from (part["text"] for part in parts if part.get("text"))


def refuse_overlap(
    used: dict[tuple[str, int], Row], heldout: list[Row], where: str = "validation.heldout"
) -> None:
    """Refuse a set that was made of held-out rows.

    Args:
        used: rows that samples use, by source and number.
        heldout: rows that the gate compares on.
        where: their place in the recipe.

    Raises:
        InputError: names the first row of each side that overlap.
    """
    texts = [spoken(row) for row in heldout]
    seen = {number for number, row in enumerate(heldout) if "image" in row}
    digests = {row_digest(row): number for number, row in enumerate(heldout)}
    for (place, number), row in used.items():
        text = spoken(row)
        held = digests.get(row_digest(row))
        if held is None:  # of what is asked about two pictures, equal words prove nothing
            held = _overlapping(text, texts, seen if "image" in row else set())
        if held is not None:
            raise InputError(
                f"row {number} of {place} overlaps row {held} of {where}",
                expected="calibration data that the comparison of base and candidate never sees",
                found=f"{min(text, texts[held], key=len):.80}",
                remedy="take the row out of one of the two sources",
            )


def _overlapping(text: str, texts: list[str], apart: set[int]) -> int | None:
    for number, held in enumerate(texts):
        if number in apart:
            continue
        shorter, longer = sorted((text, held), key=len)
        if text == held or (len(shorter) >= TELLING and shorter in longer):
            return number
    return None


def describe(result: Result, rows: dict[tuple[str, int], Row]) -> list[dict[str, Any]]:
    """Each sample with the number and digest of every row in it."""
    digests = {key: row_digest(row) for key, row in rows.items()}
    return [
        {
            "sample": number,
            "kind": sample.kind,
            "sha256": sample.sha256,
            "tokens": sum(part.tokens for part in sample.parts),
            "rows": [
                part.model_dump() | {"sha256": digests[part.place, part.row]}
                for part in sample.parts
            ],
        }
        for number, sample in enumerate(result.samples)
    ]
