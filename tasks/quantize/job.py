"""What the quantizing child is asked, and what it answers."""

from pathlib import Path

from tasks.core.manifest import Frozen
from tasks.core.recipe import Tuning
from tasks.core.records import Saturation


class Job(Frozen):
    """Quantize one base.

    Attributes:
        model: folder of the base.
        samples: the calibration set, a safetensors file.
        output: empty folder that takes AutoRound's output.
        ranks: processes that tune each block together, a device each; None is one for each card.
        rank: of this process.
        store: folder that keeps what tuning found of finished blocks, for a restart; None keeps
            nothing.
        scheme: AutoRound's name of the scheme.
        tuning: the recipe's tuning.
        nsamples: samples of the calibration set.
        seqlen: tokens of each.
        modules: layers to quantize, by full name, sorted.
        ignore: layers of decoder blocks to leave alone, by full name, sorted.
        blocks: the decoder blocks, in the order of the forward pass.
        image_token: id of the token that stands for an image, None where the base has none.
        shard_bytes: most of a file of the output.
    """

    model: Path
    samples: Path
    output: Path
    scheme: str
    tuning: Tuning
    nsamples: int
    seqlen: int
    modules: tuple[str, ...]
    ignore: tuple[str, ...]
    blocks: tuple[str, ...]
    image_token: int | None
    shard_bytes: int
    ranks: int | None = None
    rank: int = 0
    store: Path | None = None


class Result(Frozen):
    """What a `QuantizeRecord` says of the child; bytes."""

    device: str
    samples_used: int
    peak_vram: int
    peak_ram: int
    saturation: Saturation | None
