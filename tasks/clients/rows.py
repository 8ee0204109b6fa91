"""Rows of JSONL and parquet files, checked one by one."""

import json
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from pyarrow import ArrowException, parquet  # type: ignore[import-untyped]

from tasks.core.errors import RecipeError

FORMATS = (".jsonl", ".parquet")

Row = dict[str, Any]
"""One row of a data file: whatever it holds, with `text` or `messages`, maybe `image`."""


def read_rows(path: Path, text: str) -> Iterator[Row]:
    """The rows of one `.jsonl` or `.parquet` file.

    Args:
        path: the file.
        text: key of a row's text; it is called `text` in what comes back.

    Raises:
        RecipeError: a line that is not JSON, or a row without the keys it needs; the message
            names file and line (or row).
    """
    reader = _parquet if path.suffix == ".parquet" else _jsonl
    for place, values in reader(path):
        yield _checked(values, place, text)


def _jsonl(path: Path) -> Iterator[tuple[str, Any]]:
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                yield (place := f"{path.name}, line {number}"), _json(line, place)


def _json(line: bytes, place: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise RecipeError(
            f"{place} is not JSON",
            expected="one JSON object a line",
            found=f"{error}: {line[:60]!r}",
            remedy="mend the line",
        ) from None


def _parquet(path: Path) -> Iterator[tuple[str, Any]]:
    try:
        with parquet.ParquetFile(path) as file:
            batches = (batch.to_pylist() for batch in file.iter_batches())
            rows = (values for batch in batches for values in batch)
            for number, values in enumerate(rows, start=1):
                yield f"{path.name}, row {number}", values
    except ArrowException as error:
        raise RecipeError(f"{path.name} is not a parquet file", found=str(error)) from None


def _checked(values: Any, place: str, text: str) -> Row:
    if not isinstance(values, dict):
        raise RecipeError(f"{place} is no row", expected="an object", found=f"{values!r:.60}")
    row = dict(values)
    if text in row and text != "text":
        row["text"] = row.pop(text)
    if not _is_chat(row.get("messages")) and not isinstance(row.get("text"), str):
        raise RecipeError(
            f"{place} has neither a text nor a chat",
            expected=f"a string under {text!r}, or messages, each with a role",
            found=f"the keys {', '.join(map(str, values)) or '(none)'}",
            remedy="name the text's key in the source (text: …), or mend the row",
        )
    if isinstance(row.get("image"), str) and not _stays_inside(row["image"]):
        raise RecipeError(
            f"{place} names an image outside the data's folder",
            expected="a path relative to the file, without ..",
            found=row["image"],
        )
    return row


def _is_chat(messages: Any) -> bool:
    return (
        isinstance(messages, list)
        and bool(messages)
        and all(isinstance(m, dict) and isinstance(m.get("role"), str) for m in messages)
    )


def _stays_inside(image: str) -> bool:
    path = PurePosixPath(image)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts
