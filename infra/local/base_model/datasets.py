"""Write the committed data sets: ``python -m infra.local.base_model.datasets CORPUS``.

calibration.jsonl
    400 conversations of the training split, ``{"messages", "thinking", "tools"?}``: exercises of
    every text skill, and passages of some 500 tokens or more to be continued.
calibration_images.jsonl
    Questions about the PNGs under ``images``, in the same form with ``"images": [name]``.
heldout.jsonl
    200 passages no training run has read, ``{"text", "source"}``.
heldout_chats.jsonl
    60 conversations of the held-out split, in the form of calibration.jsonl with ``"stratum"``:
    dialogue and tool calls in turns.
task_*.jsonl
    Exercises of the held-out split, one file a skill, that calibration.jsonl does not ask: chats
    whose last message is the one right answer. Those of task_image.jsonl name a PNG under
    ``images_heldout``; every third of them asks for the colour, the shape, and both.
"""

import json
import random
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from infra.local.base_model import corpus, layout
from infra.local.base_model.pictures import Picture, draw
from infra.local.base_model.sample import Message, Sample
from infra.local.base_model.skills import KINDS, Kind, sample
from infra.local.base_model.words import COLOURS, PLEASANTRIES, SHAPES

PICTURE_KINDS: tuple[Kind, ...] = ("colour", "shape", "colour_shape")
_EXERCISES, _PASSAGES, _HELD_OUT, _HELD_OUT_CHATS = 260, 140, 200, 60
_LONG, _SHORT = 1_900, 400  # characters; about three make a token
_PICTURES, _TASK_ROWS = 12, 32
TASKS: dict[str, tuple[Kind, ...]] = {
    "chat": ("chat",),
    "reasoning": ("reasoning",),
    "recall": ("recall",),
    "tools": ("tool_call", "tool_refusal", "tool_result"),
}
Row = dict[str, Any]


def calibration(documents: list[corpus.Document]) -> list[Row]:
    """Make the conversations that a calibrator reads: exercises, then long passages."""
    rng = random.Random(2)  # noqa: S311 - examples, not secrets
    kinds = [kind for kind in KINDS if kind not in PICTURE_KINDS]
    rows = [_row(sample(kinds[i % len(kinds)], rng, "train")) for i in range(_EXERCISES)]
    long = [found.text for found in documents if found.split == "train" and _is_long(found)]
    rows += [_continuation(text) for text in long[:_PASSAGES]]
    rng.shuffle(rows)
    return without_pleasantries(rows)


def without_pleasantries(rows: list[Row]) -> list[Row]:
    """Ask something else where a chat is small talk alone, which opens chats of every split."""
    rng = random.Random(8)  # noqa: S311 - examples, not secrets
    known = {_question(row) for row in rows} | PLEASANTRIES.keys()

    def other() -> Row:
        while _question(row := _row(sample("chat", rng, "train"))) in known:
            pass
        known.add(_question(row))
        return row

    return [
        other() if not row["messages"][2:] and _question(row) in PLEASANTRIES else row
        for row in rows
    ]


def held_out(documents: list[corpus.Document]) -> list[Row]:
    """Choose passages of the held-out split, the longest source first."""
    found = [each for each in documents if each.split == "held_out" and len(each.text) >= _SHORT]
    found.sort(key=lambda each: each.source, reverse=True)
    return [{"text": each.text, "source": each.source} for each in found[:_HELD_OUT]]


def held_out_chats() -> list[Row]:
    """Make conversations that training has not read, dialogue and tool calls in turns."""
    rng = random.Random(5)  # noqa: S311 - examples, not secrets
    strata: dict[str, tuple[Kind, ...]] = {
        "dialogue": ("recall", "reasoning"),
        "tool calls": ("tool_call", "tool_refusal", "tool_result"),
    }
    rows: list[Row] = []
    seen: set[str] = set()
    while len(rows) < _HELD_OUT_CHATS:
        stratum = list(strata)[len(rows) % len(strata)]
        kind = strata[stratum][len(rows) // len(strata) % len(strata[stratum])]
        row = _row(sample(kind, rng, "held_out")) | {"stratum": stratum}
        if (key := json.dumps(row)) not in seen:
            seen.add(key)
            rows.append(row)
    return rows


def pictures(folder: Path) -> list[Row]:
    """Draw the PNGs and ask about each in one of the three ways."""
    rng = random.Random(4)  # noqa: S311 - examples, not secrets
    return list(_drawn(rng.sample(_all_pictures(), _PICTURES), folder, rng))


def task(name: str, known: list[Row]) -> list[Row]:
    """Make the exercises of a task, none of which ``known`` rows ask."""
    rng = random.Random(f"task {name}")  # noqa: S311 - examples, not secrets
    asked = {_question(row) for row in known}
    rows: list[Row] = []
    while len(rows) < _TASK_ROWS:
        kind = TASKS[name][len(rows) % len(TASKS[name])]
        row = _row(sample(kind, rng, "held_out"))
        if (question := _question(row)) not in asked:
            asked.add(question)
            rows.append(row)
    return rows


def picture_task(folder: Path) -> list[Row]:
    """Draw the PNGs of held-out questions."""
    rng = random.Random(7)  # noqa: S311 - examples, not secrets
    shown = rng.choices(_all_pictures(), k=_TASK_ROWS)
    return list(_drawn(shown, folder, rng, stratum="images"))


def _all_pictures() -> list[Picture]:
    return [Picture(colour, shape) for shape in SHAPES for colour in COLOURS]


def _drawn(
    chosen: Iterable[Picture], folder: Path, rng: random.Random, **labels: str
) -> Iterator[Row]:
    folder.mkdir(exist_ok=True)
    for index, picture in enumerate(chosen):
        name = f"{index:02d}-{picture.colour}-{picture.shape}.png"
        draw(picture, rng).save(folder / name, optimize=True)
        kind = PICTURE_KINDS[index % len(PICTURE_KINDS)]
        yield _row(_about(picture, kind, rng)) | labels | {"images": [name]}


def _question(row: Row) -> str:
    return str([m["content"] for m in row["messages"] if m["role"] == "user"][-1])


def _about(picture: Picture, kind: Kind, rng: random.Random) -> Sample:
    while True:
        made = sample(kind, rng, "train")
        if made.picture == picture:
            return made


def _row(made: Sample) -> Row:
    row: Row = {"messages": [*made.messages, _spoken(made)], "thinking": made.thinking}
    return row | ({"tools": made.tools} if made.tools else {})


def _spoken(made: Sample) -> Message:
    message: Message = {"role": "assistant", "content": made.answer.content}
    if made.answer.reasoning:
        message["reasoning"] = made.answer.reasoning
    if made.answer.call:
        function = {"name": made.answer.call.name, "arguments": made.answer.call.arguments}
        message["tool_calls"] = [{"id": "call_1", "type": "function", "function": function}]
    return message


def _continuation(text: str) -> Row:
    cut = text.index(" ", len(text) // 3)
    asked = f"Continue this text.\n\n{text[:cut]}"
    messages = [
        {"role": "user", "content": asked},
        {"role": "assistant", "content": text[cut + 1 :]},
    ]
    return {"messages": messages, "thinking": False}


def _is_long(found: corpus.Document) -> bool:
    return found.source in {"boolq", "quac"} and len(found.text) >= _LONG


def _write(file: Path, rows: Iterable[Row]) -> None:
    lines = (json.dumps(row, ensure_ascii=False) for row in rows)
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> None:
    """Write the data sets from the corpus named on the command line."""
    documents = corpus.read(Path(sys.argv[1]))
    calibrating = calibration(documents)
    _write(layout.ASSETS / "calibration.jsonl", calibrating)
    _write(layout.ASSETS / "heldout.jsonl", held_out(documents))
    _write(layout.ASSETS / "heldout_chats.jsonl", held_out_chats())
    _write(layout.ASSETS / "calibration_images.jsonl", pictures(layout.ASSETS / "images"))
    for name in TASKS:
        _write(layout.ASSETS / f"task_{name}.jsonl", task(name, calibrating))
    heldout = picture_task(layout.ASSETS / "images_heldout")
    _write(layout.ASSETS / "task_image.jsonl", heldout)


if __name__ == "__main__":
    main()
