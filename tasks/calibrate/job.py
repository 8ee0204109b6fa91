"""What the calibration child is asked, and what it answers."""

from pathlib import Path
from typing import Any, Literal

from tasks.core.manifest import Frozen

SAMPLES = "samples.safetensors"
PROVENANCE = "provenance.json"
Kind = Literal["text", "chat", "image"]
Row = dict[str, Any]
CONTENT = ("text", "messages", "tools", "thinking", "image")
"""Keys of a row that shape a sample."""


class Job(Frozen):
    """Make the samples.

    Attributes:
        model: folder with the base's tokenizer, processor and config.
        rows: file of text rows, JSON lines.
        images: file of image rows, JSON lines; each `image` is an absolute path.
        output: folder that takes `samples.safetensors`.
        nsamples: samples in all.
        image_samples: how many of them start with a row of `images`.
        seqlen: tokens of each sample.
        seed: of the order in which rows are taken.
    """

    model: Path
    rows: Path
    images: Path | None
    output: Path
    nsamples: int
    image_samples: int
    seqlen: int
    seed: int


class Part(Frozen):
    """Tokens of one row inside a sample.

    Attributes:
        place: the source's place in the recipe.
        row: number of the row in its source, from 0.
        tokens: how many of the row's tokens the sample holds.
        whole: whether these are all of the row's tokens.
    """

    place: Literal["calibration.source", "calibration.images"]
    row: int
    tokens: int
    whole: bool


class Sample(Frozen):
    """One sample: its kind is that of its first row, its sha256 that of its tensors."""

    kind: Kind
    sha256: str
    parts: tuple[Part, ...]


class Result(Frozen):
    """The samples, in order."""

    samples: tuple[Sample, ...]
