"""The record of each stage: what the next stages and the release's card need to know of it."""

from dataclasses import dataclass
from typing import Final, Literal

from pydantic import Field

from tasks.core.manifest import FileRecord, Frozen, StageRecord
from tasks.core.published import WEIGHTS
from tasks.core.recipe import Recipe


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


class KeptLayers(Frozen):
    """Layers that a repair left as the base has them; those that vLLM fuses go together.

    Attributes:
        modules: their full names.
        bytes: by which the checkpoint grew.
        gain: mean KL that restoring them alone takes away, nats a token.
    """

    modules: tuple[str, ...]
    bytes: int
    gain: float


class RepairStep(Frozen):
    """What was done to a candidate that the gate refused.

    Attributes:
        attempt: its number, from 1.
        refusal: what the gate found before it.
        engine: what measured the layers.
        kept: the layers that were kept, the most harmful first.
        considered: groups of layers that were measured.
        tokens: positions they were measured on.
        kl_before: mean KL there, before.
        kl_after: and with the layers kept.
        bytes_before: of the weights, before.
        bytes_after: and after.
    """

    attempt: int
    refusal: str
    engine: str
    kept: tuple[KeptLayers, ...]
    considered: int
    tokens: int
    kl_before: float
    kl_after: float
    bytes_before: int
    bytes_after: int


def repair_stage(attempt: int) -> str:
    """Name of the stage that makes an attempt at repair."""
    return f"repair-{attempt}"


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


class Check(Frozen):
    """One thing that was checked: its name, whether it held, what was seen, what was required."""

    name: str
    passed: bool
    seen: str
    required: str = ""


class Metrics(Frozen):
    """Base against candidate on held-out text; k is the number of log-probabilities asked for.

    Attributes:
        k: top-k ids of the base that are compared, plus one tail bucket.
        texts: held-out texts.
        tokens: positions compared.
        base_perplexity: of the base.
        perplexity: of the candidate.
        perplexity_ratio: candidate over base.
        mean_kl: nats a token.
        p99_kl: its 99th percentile over tokens.
        top1_agreement: share of positions whose likeliest token is the same.
        sure_agreement: the same, of positions where the base gives its likeliest token 90%.
        median_kl: its median over tokens.
        flips: share of positions where just one of both has the token that stands there likeliest.
        covered: share of the base's probability on ids whose probability both servers told.
    """

    k: int
    texts: int
    tokens: int
    base_perplexity: float
    perplexity: float
    perplexity_ratio: float
    mean_kl: float
    p99_kl: float
    top1_agreement: float
    sure_agreement: float | None = None
    median_kl: float | None = None
    flips: float | None = None
    covered: float | None = None


LINT_ONLY: Final = "LINT_ONLY"
Verdict = Literal["ACCEPT", "REGRESSION", "INCONCLUSIVE", "ANOMALOUS", "INFEASIBLE", "LINT_ONLY"]


class Measure(Frozen):
    """One measure of the comparison, with its one-sided bounds and what they decide.

    Attributes:
        name: for people.
        value: of the candidate against the base.
        lower: bound below which the true value is not.
        upper: bound above which it is not.
        direction: which side of the limit is good.
        limit: what the recipe requires.
        decision: `holds`, `fails`, or `undecided`: the bounds enclose the limit.
        detectable: smallest damage that is seen four times in five with these sources.
        sources: texts it is measured on.
        stratum: the kind of text; empty for all.
    """

    name: str
    value: float
    lower: float
    upper: float
    direction: Literal["at most", "at least"]
    limit: float
    decision: Literal["holds", "fails", "undecided"]
    detectable: float
    sources: int
    stratum: str = ""


class Stratum(Frozen):
    """One kind of text: its texts and positions, and what was measured on them."""

    name: str
    texts: int
    tokens: int
    mean_kl: float
    upper_kl: float
    perplexity_ratio: float
    top1_agreement: float


class TaskScore(Frozen):
    """Base and candidate on the items of one task.

    Attributes:
        name: of the task.
        kind: `exact_match`: share of right answers; `perplexity`: of its texts.
        items: how many, answered by both.
        base: the base's score.
        candidate: the candidate's.
        change: right answers of the candidate less the base's, as a share of the items; the ratio
            of perplexities.
        lower: one-sided bound below which the true change is not.
        upper: one above which it is not.
        lost: items that the base alone answers rightly.
        gained: items that the candidate alone answers rightly.
        p_value: exact McNemar test against flips being as likely one way as the other.
    """

    name: str
    kind: Literal["exact_match", "perplexity"]
    items: int
    base: float
    candidate: float
    change: float
    lower: float
    upper: float
    lost: int = 0
    gained: int = 0
    p_value: float | None = None

    @property
    def recovery(self) -> float | None:
        """Share of the base's score; None where the base has none."""
        if self.kind == "perplexity":
            return self.base / self.candidate
        return self.candidate / self.base if self.base else None


class ValidateRecord(StageRecord):
    """Evidence for or against the release.

    Attributes:
        verdict: ACCEPT, or LINT_ONLY where the recipe has nothing measured; anything else is an
            error, not a record.
        checks: everything that was checked.
        metrics: the comparison; None where nothing was measured, as all that follows.
        measures: what of it has a limit, with bounds.
        strata: the comparison by kind of text.
        tasks: base and candidate on each task.
        confidence: of each one-sided bound.
        kernel: the kernel that ran NVFP4, as vLLM names it.
        numerics: what that means for activations.
        engine: serving engine and version.
    """

    verdict: Verdict
    checks: tuple[Check, ...]
    metrics: Metrics | None = None
    measures: tuple[Measure, ...] = ()
    strata: tuple[Stratum, ...] = ()
    tasks: tuple[TaskScore, ...] = ()
    confidence: float = 0.95
    kernel: str = ""
    numerics: Literal["W4A4 native", "W4A4 emulated", "W4A16"] | None = None
    engine: str = ""

    @property
    def measured(self) -> bool:
        """Whether the release's quality was measured; if not, it may be published privately."""
        return self.verdict != LINT_ONLY


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
