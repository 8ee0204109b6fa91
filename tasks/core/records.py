"""The record of each stage: what the next stages and the release's card need to know of it."""

from dataclasses import dataclass

from pydantic import Field

from tasks.core.gate_records import ValidateRecord
from tasks.core.manifest import FileRecord, Frozen, StageRecord
from tasks.core.published import WEIGHTS
from tasks.core.recipe import Recipe
from tasks.core.repair_records import RepairStep


class Hardware(Frozen):
    """The machine a stage runs on; bytes throughout.

    Attributes:
        cpus: processors this process may use.
        ram: memory in all.
        disk_free: free space where the workspace lies.
        gpu: name of the first accelerator; empty for none.
        gpus: how many accelerators.
        vram: memory of the first accelerator.
    """

    cpus: int
    ram: int
    disk_free: int
    gpu: str = ""
    gpus: int = 0
    vram: int = 0


class Estimate(Frozen):
    """What a release will take; bytes and hours.

    Attributes:
        base: bytes of the base's shards.
        release: bytes of the release's shards.
        parameters: of the whole model.
        quantized_parameters: of the layers that are quantized.
        quantized_modules: how many layers those are.
        blocks: decoder blocks to tune.
        vram: peak memory of the accelerator while tuning.
        ram: peak host memory.
        disk: space the workspace needs.
        hours: from download to archive.
        seconds: the same by stage, of those that take long.
    """

    base: int
    release: int
    parameters: int
    quantized_parameters: int
    quantized_modules: int
    blocks: int
    vram: int
    ram: int
    disk: int
    hours: float
    seconds: dict[str, float] = Field(default_factory=dict)


class PlanRecord(StageRecord):
    """What will be made of which commit, and what it takes.

    Attributes:
        base: repository of the base.
        commit: its commit.
        target: repository of the release.
        architecture: class name in config.json.
        release_id: name of the release.
        sources: digest of each data source, by its place in the recipe; a Hub dataset's starts
            with `commit:`.
        license: of the base, as its card names it.
    """

    base: str
    commit: str
    target: str
    architecture: str
    release_id: str
    sources: dict[str, str]
    license: str
    hardware: Hardware
    estimate: Estimate


class DownloadRecord(StageRecord):
    """The base's files at one commit."""

    base: str
    commit: str


class Saturation(Frozen):
    """Share of activation values at image tokens that static scales cut off, over all layers.

    Attributes:
        text_only: with scales from the samples without an image.
        mixed: with scales from all samples but the one that is measured.
    """

    text_only: float
    mixed: float


class CalibrateRecord(StageRecord):
    """The calibration set as token ids (`samples.safetensors`) with its provenance.

    Attributes:
        nsamples: samples in all.
        seqlen: tokens of each.
        image_samples: samples that carry an image.
        set_digest: digest over the samples' own digests, in order.
    """

    nsamples: int
    seqlen: int
    image_samples: int
    set_digest: str


class BlockLoss(Frozen):
    """Tuning of one block: mean squared error of its output at the first step and at the best."""

    block: str
    first: float
    best: float
    seconds: float


class QuantizeRecord(StageRecord):
    """AutoRound's own output.

    Attributes:
        tuner: the algorithm that ran.
        device: what it ran on.
        blocks: loss of each tuned block, in order; empty for round-to-nearest.
        samples_used: calibration samples that reached the first block.
        versions: of the packages that shaped the result.
        peak_vram: bytes; 0 without an accelerator.
        peak_ram: bytes of the child process.
        saturation: of image tokens, where the set has image samples.
        reused: the release whose weights these are; empty if they were quantized for this one.
    """

    tuner: str
    device: str
    blocks: tuple[BlockLoss, ...]
    samples_used: int
    versions: dict[str, str]
    peak_vram: int
    peak_ram: int
    saturation: Saturation | None = None
    reused: str = ""


class ConvertRecord(StageRecord):
    """The release's checkpoint folder, ready to be served; a repair makes the same kind.

    Attributes:
        quantized_modules: how many layers are packed.
        copied_tensors: how many tensors are the base's bytes.
        weight_bytes: of all shards.
        ignore: compressed-tensors' ignore list.
        repairs: what was done to it after the gate had refused it; empty for most.
    """

    quantized_modules: int
    copied_tensors: int
    weight_bytes: int
    ignore: tuple[str, ...]
    repairs: tuple[RepairStep, ...] = ()

    @property
    def kept(self) -> tuple[str, ...]:
        """Layers that repairs kept, beside those that the recipe keeps."""
        return tuple(m for step in self.repairs for kept in step.kept for m in kept.modules)


@dataclass(frozen=True)
class Release:
    """A release that was made and validated: what each stage said, and its recipe."""

    plan: PlanRecord
    download: DownloadRecord
    calibrate: CalibrateRecord
    quantize: QuantizeRecord
    convert: ConvertRecord
    validate: ValidateRecord
    recipe: Recipe

    @property
    def stages(self) -> tuple[StageRecord, ...]:
        """The records in the order of the stages."""
        return (
            self.plan,
            self.download,
            self.calibrate,
            self.quantize,
            self.convert,
            self.validate,
        )

    @property
    def inputs(self) -> dict[str, str]:
        """Digests of what a publication is made from, by name.

        The plan's digest is not among them: its files tell of the machine, which may change.
        """
        made = {record.stage: record.digest for record in self.stages[1:]}
        return made | {"target": self.plan.target, "recipe": self.recipe.digest}

    @property
    def base_weights(self) -> list[FileRecord]:
        """The base's shards."""
        return [file for file in self.download.files if file.path.endswith(WEIGHTS)]

    @property
    def evidence(self) -> list[FileRecord]:
        """What validation leaves that is published: everything but tensors."""
        return [file for file in self.validate.files if not file.path.endswith(WEIGHTS)]


class UploadRecord(StageRecord):
    """The release on the Hub."""

    repo: str
    commit: str
    tag: str
    url: str


class ArchiveRecord(StageRecord):
    """The release in S3: `uri` is the folder whose `manifest.json` was written last."""

    uri: str
