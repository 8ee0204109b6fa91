"""Samples out of rows: text and image samples in one order, all of the same length."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch

from tasks.calibrate import images
from tasks.calibrate.job import Job, Kind, Part, Row, Sample
from tasks.calibrate.text import Filler, order, token_rows
from tasks.core.chat_template import ChatTemplate
from tasks.core.errors import InputError

IMAGE_INDEX = "image.index"
Pictures = Iterator[tuple[images.ImageRow, Part]]


@dataclass
class Composed:
    """Samples while they are made.

    Attributes:
        ids: token ids of each sample.
        types: 1 at tokens of images, of each sample.
        index: for each image, the sample it belongs to.
        pixels: for each image, what the vision tower wants.
        samples: what each sample is made of.
    """

    ids: list[list[int]] = field(default_factory=list)
    types: list[list[int]] = field(default_factory=list)
    index: list[int] = field(default_factory=list)
    pixels: list[dict[str, torch.Tensor]] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)

    def tensors(self) -> dict[str, torch.Tensor]:
        """The set as tensors.

        `input_ids` int32 [samples, seqlen]; with images also `mm_token_type_ids` int32 of that
        shape, `image.index` int32 [images], and under `image.<name>` what the processor made,
        with a first dimension of images.
        """
        made = {"input_ids": torch.tensor(self.ids, dtype=torch.int32)}
        if self.index:
            made[images.TYPES] = torch.tensor(self.types, dtype=torch.int32)
            made[IMAGE_INDEX] = torch.tensor(self.index, dtype=torch.int32)
            for name in self.pixels[0]:
                made[f"image.{name}"] = torch.cat([each[name] for each in self.pixels])
        return made


def has_image(number: int, job: Job) -> bool:
    """Whether a sample starts with an image: those that do are spread evenly over the set."""
    share = job.image_samples
    return (number + 1) * share // job.nsamples > number * share // job.nsamples


def compose(
    job: Job,
    rows: list[Row],
    image_rows: list[Row],
    tokenizer: Any,
    processor: Any,
    image_token: int | None,
) -> Composed:
    """Make the samples.

    Args:
        job: how many, how long, and the seed.
        rows: of the text source.
        image_rows: of the image source.
        tokenizer: the base's.
        processor: the base's; asked only for images.
        image_token: id of the token that stands for an image, None where the base has none.

    Raises:
        InputError: the rows do not fill the samples, or an image does not fit into one.
        BaseModelError: the base's chat template does not render a row.
    """
    with ChatTemplate(tokenizer) as chats, ChatTemplate(processor) as shown:
        tokens = token_rows(rows, tokenizer, chats, job.seed, image_token)
        pictures = _pictures(image_rows, job, processor, shown)
        return _composed(job, Filler(tokens, job.seqlen), pictures)


def _composed(job: Job, filler: Filler, pictures: Pictures) -> Composed:
    made = Composed()
    for number in range(job.nsamples):
        ids: list[int] = []
        parts: list[Part] = []
        types: list[int] = []
        kind: Kind = "image"
        first = None
        if has_image(number, job):
            picture, part = next(pictures)
            ids, parts, types = picture.ids[: job.seqlen], [part], picture.types[: job.seqlen]
            made.index.append(number)
            made.pixels.append(picture.tensors)
        elif first := filler.take():
            kind = first.kind
        if not filler.fill(ids, parts, first):
            raise _too_few(job, number, filler.taken)
        types += [0] * (job.seqlen - len(types))
        pixels = made.pixels[-1] if kind == "image" else {}
        made.ids.append(ids)
        made.types.append(types)
        made.samples.append(Sample(kind=kind, sha256=_digest(ids, pixels), parts=tuple(parts)))
    return made


def _pictures(rows: list[Row], job: Job, processor: Any, chats: ChatTemplate) -> Pictures:
    if len(rows) < job.image_samples:
        raise InputError(
            "calibration.images has too few rows",
            expected=f"{job.image_samples} (image_samples)",
            found=str(len(rows)),
            remedy="lower image_samples, or name more rows",
        )
    for number in order(len(rows), job.seed)[: job.image_samples]:
        row = images.render(rows[number], number, processor, chats)
        end = max((at for at, kind in enumerate(row.types) if kind), default=-1) + 1
        if not 0 < end <= job.seqlen:
            raise InputError(
                f"the image of row {number} of calibration.images does not fit into a sample",
                expected=f"its tokens among the first {job.seqlen} (seqlen)",
                found=f"its last token at {end}",
                remedy="raise seqlen, or take a smaller image",
            )
        kept = min(len(row.ids), job.seqlen)
        whole = kept == len(row.ids)
        yield row, Part(place="calibration.images", row=number, tokens=kept, whole=whole)


def _too_few(job: Job, done: int, found: int) -> InputError:
    return InputError(
        f"calibration.source fills {done} of {job.nsamples} samples",
        expected=f"{job.nsamples * job.seqlen} tokens ({job.nsamples} samples of {job.seqlen})",
        found=f"{found} tokens in all rows; what is longer than a sample was cut",
        remedy="lower nsamples or seqlen, or name more rows",
    )


def _digest(ids: list[int], pixels: dict[str, torch.Tensor]) -> str:
    """sha256 over the ids as little-endian int32, then each tensor's name and bytes."""
    digest = hashlib.sha256(torch.tensor(ids, dtype=torch.int32).numpy().tobytes())
    for name in sorted(pixels):
        digest.update(name.encode())
        digest.update(pixels[name].contiguous().numpy().tobytes())
    return digest.hexdigest()
