"""Tokenize exercises for training: many at once, image places already widened."""

import random
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

import torch
from transformers import AutoTokenizer
from transformers.models.gemma4.processing_gemma4 import get_aspect_ratio_preserving_size

from infra.local.base_model import layout
from infra.local.base_model.config import (
    IMAGE,
    IMAGE_BEGIN,
    IMAGE_END,
    MAX_PATCHES,
    PATCH,
    POOL,
)
from infra.local.base_model.pictures import LARGEST, SMALLEST
from infra.local.base_model.sample import Sample
from infra.local.base_model.skills import Kind, sample
from infra.local.base_model.words import COLOURS, SHAPES

_JOB = 2_000
Row = tuple[list[int], int, tuple[int, int, int, int]]


@dataclass(frozen=True)
class Chats:
    """Exercises in rows.

    Attributes:
        ids: (rows, width) int16, zero after the end.
        begin: (rows,) int16, where the answer begins.
        end: (rows,) int16, where it ends.
        picture: (rows, 4) int8: colour, shape, patches high, patches wide; -1 without a picture.
    """

    ids: torch.Tensor
    begin: torch.Tensor
    end: torch.Tensor
    picture: torch.Tensor

    def to(self, device: torch.device) -> "Chats":
        """Move every tensor to ``device``."""
        return Chats(*(t.to(device) for t in (self.ids, self.begin, self.end, self.picture)))


def make(shares: dict[Kind, float], count: int, width: int, seed: int, workers: int) -> Chats:
    """Make ``count`` exercises of the training split, kinds drawn by ``shares``.

    Those longer than ``width`` tokens are left out. ``workers`` processes share the work; the
    result does not depend on their number.
    """
    jobs = [(shares, _JOB, width, f"{seed}-{index}") for index in range(-(-count // _JOB))]
    with ProcessPoolExecutor(workers) as pool:
        rows = [row for part in pool.map(_job, jobs) for row in part][:count]
    ids = torch.zeros(len(rows), width, dtype=torch.int16)
    for place, (tokens, _, _) in enumerate(rows):
        ids[place, : len(tokens)] = torch.tensor(tokens, dtype=torch.int16)
    begin = torch.tensor([begin for _, begin, _ in rows], dtype=torch.int16)
    end = torch.tensor([len(tokens) for tokens, _, _ in rows], dtype=torch.int16)
    picture = torch.tensor([code for _, _, code in rows], dtype=torch.int8)
    return Chats(ids, begin, end, picture)


def _job(job: tuple[dict[Kind, float], int, int, str]) -> list[Row]:
    shares, count, width, seed = job
    rng = random.Random(seed)  # noqa: S311 - examples, not secrets
    kinds = rng.choices(list(shares), list(shares.values()), k=count)
    made = [sample(kind, rng, "train") for kind in kinds]
    rows = encode(made, [_size(rng) for _ in made])
    return [row for row in rows if len(row[0]) <= width]


def _size(rng: random.Random) -> tuple[int, int]:
    return rng.randint(SMALLEST, LARGEST), rng.randint(SMALLEST, LARGEST)


def encode(samples: Sequence[Sample], sizes: Iterable[tuple[int, int]]) -> list[Row]:
    """Tokenize prompts and answers; ``sizes`` are the pictures' (width, height) in pixels."""
    tokenizer = AutoTokenizer.from_pretrained(layout.TOKENIZER)
    tokenizer.chat_template = layout.CHAT_TEMPLATE.read_text(encoding="utf-8")
    prompts = _ids(tokenizer, [prompt(tokenizer, each) for each in samples])
    answers = _ids(tokenizer, [each.answer.text() for each in samples])
    rows = []
    for each, asked, answer, size in zip(samples, prompts, answers, sizes, strict=True):
        widened, code = _widen(asked, each, size)
        rows.append((widened + answer, len(widened), code))
    return rows


def prompt(renderer: Any, made: Sample) -> str:
    """Render the conversation, with a tokenizer or processor, up to where the model speaks."""
    rendered = renderer.apply_chat_template(
        made.messages,
        tools=made.tools or None,
        enable_thinking=made.thinking,
        add_generation_prompt=True,
        tokenize=False,
    )
    return str(rendered)


def _ids(tokenizer: Any, texts: list[str]) -> list[list[int]]:
    ids: list[list[int]] = tokenizer(texts, add_special_tokens=False)["input_ids"]
    return ids


def _widen(
    ids: list[int], made: Sample, size: tuple[int, int]
) -> tuple[list[int], tuple[int, int, int, int]]:
    if made.picture is None:
        return ids, (-1, -1, 0, 0)
    width, height = size
    rows, columns = (
        side // PATCH
        for side in get_aspect_ratio_preserving_size(height, width, PATCH, MAX_PATCHES, POOL)
    )
    soft = [IMAGE_BEGIN, *[IMAGE] * (rows * columns // POOL**2), IMAGE_END]
    place = ids.index(IMAGE)
    colour, shape = list(COLOURS).index(made.picture.colour), SHAPES.index(made.picture.shape)
    return [*ids[:place], *soft, *ids[place + 1 :]], (colour, shape, rows, columns)
