"""The quantize stage: starts the child, follows it, and keeps what it made."""

import json
import math
import os
import shutil
from pathlib import Path

from tasks.core.checkpoint import Checkpoint
from tasks.core.digest import sha256_json
from tasks.core.errors import QuantizeError
from tasks.core.jobs import run_job
from tasks.core.process import child_environment
from tasks.core.progress import Reporter
from tasks.core.recipe import Recipe
from tasks.core.records import CalibrateRecord, DownloadRecord, PlanRecord, QuantizeRecord
from tasks.core.schemes import quantized_modules
from tasks.core.versions import RESULT_SHAPING, installed
from tasks.core.workspace import Workspace
from tasks.core.workspace_shared import Shared
from tasks.quantize.job import Job, Result
from tasks.quantize.layers import decoder_blocks, kept_modules
from tasks.quantize.memory import HUGE_PAGES
from tasks.quantize.telemetry import Telemetry

STAGE = "quantize"
WORKER = "tasks.quantize.worker"
SAMPLES = "samples.safetensors"
STORE, BLOCKS = "tuned", "*.safetensors"
SILENT = {
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_DATASETS_OFFLINE": "1",
    "DO_NOT_TRACK": "1",
    "TOKENIZERS_PARALLELISM": "false",
    # Threads that wait by spinning take the processor from those that work on a busy machine.
    "OMP_WAIT_POLICY": "PASSIVE",
    # Freed tensors of a mebibyte and more go back to the system; else the peak is what the C
    # library hoards, twice what is in use.
    "MALLOC_MMAP_THRESHOLD_": str(1 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(64 << 20),
}


def run(
    plan: PlanRecord,
    download: DownloadRecord,
    calibrate: CalibrateRecord,
    *,
    recipe: Recipe,
    home: Path,
    reporter: Reporter,
    shared: Shared | None = None,
) -> QuantizeRecord:
    """Quantize the base, or hand out what an earlier run made of the same inputs.

    Args:
        plan: names the release.
        download: the base's files.
        calibrate: the calibration set.
        recipe: says how to tune, and which layers stay as they are.
        home: root of the workspaces.
        reporter: is told phase, block, loss and time left.
        shared: what this machine has in common with others; None for nothing. Finished blocks are
            part of it, so that another machine goes on where this one was killed.

    Raises:
        WorkerLost: the child was killed from outside; another try starts afresh.
        ResourceError: memory does not suffice.
        QuantizeError: AutoRound failed, or did other than it was asked to.
    """
    workspace = Workspace.of_release(home, plan.release_id, shared)
    bases = Workspace.of_base(home, plan.base, plan.commit, shared)
    shaping = recipe.model_dump(mode="json", include={"scheme", "group_size", "keep", "tuning"})
    inputs = {
        "download": download.digest,
        "calibrate": calibrate.digest,
        "recipe": sha256_json(shaping),
        "versions": sha256_json(installed(*RESULT_SHAPING)),
    }

    def make(partial: Path) -> dict[str, object]:
        base, samples = bases.here(download).path, workspace.here(calibrate).path / SAMPLES
        scratch = workspace.scratch(STAGE)
        with workspace.carried(STAGE, inputs, scratch / STORE, BLOCKS):
            return build(partial, base, samples, recipe, scratch, reporter)

    return workspace.run(STAGE, QuantizeRecord, inputs, make)


def build(
    folder: Path, base: Path, samples: Path, recipe: Recipe, scratch: Path, reporter: Reporter
) -> dict[str, object]:
    """Fill `folder` with AutoRound's output; what it held before is removed.

    Args:
        folder: takes the output.
        base: folder of the base.
        samples: the calibration set.
        recipe: says how to tune, and which layers stay as they are.
        scratch: takes job and log, and finished blocks for the next try until all are.
        reporter: is told phase, block, loss and time left.

    Returns:
        The facts of a `QuantizeRecord`.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    reporter.update(0.0, "starting AutoRound")
    store = scratch.resolve() / STORE
    job = make_job(folder, base, samples, recipe).model_copy(update={"store": store})
    telemetry = Telemetry(job.blocks, reporter)
    made = run_job(
        WORKER,
        job,
        Result,
        scratch=scratch,
        env=environment(scratch),
        on_line=telemetry.line,
    )
    _check_losses(telemetry, recipe)
    shutil.rmtree(store, ignore_errors=True)
    return made.model_dump() | {
        "tuner": recipe.tuning.tuner,
        "blocks": telemetry.losses,
        "versions": installed(*RESULT_SHAPING, "compressed-tensors"),
    }


def make_job(folder: Path, base: Path, samples: Path, recipe: Recipe) -> Job:
    """The child's job, with every layer named."""
    tensors = Checkpoint(base).tensors
    modules = tuple(quantized_modules(tensors, recipe))
    config = json.loads((base / "config.json").read_bytes())
    return Job(
        model=base.resolve(),
        samples=samples.resolve(),
        output=folder.resolve(),
        scheme=recipe.scheme,
        tuning=recipe.tuning,
        nsamples=recipe.calibration.nsamples,
        seqlen=recipe.calibration.seqlen,
        modules=modules,
        ignore=kept_modules(tensors, recipe),
        blocks=decoder_blocks(tensors, modules),
        image_token=config.get("image_token_id"),
        shard_bytes=recipe.max_shard_bytes,
    )


def environment(scratch: Path) -> dict[str, str]:
    """The child's environment: offline, without secrets, and without AutoRound's own switches.

    Variables named `AR_…` change AutoRound's result without a trace in the recipe.
    """
    inherited = child_environment(**SILENT)
    kept = {name: value for name, value in inherited.items() if not name.startswith("AR_")}
    threads = {"OMP_NUM_THREADS": str(len(os.sched_getaffinity(0)))}
    return threads | HUGE_PAGES | kept | {"AR_WORK_SPACE": str(scratch / "autoround")}


def _check_losses(telemetry: Telemetry, recipe: Recipe) -> None:
    if recipe.tuning.iters and not telemetry.losses:
        raise QuantizeError("AutoRound reported no loss", expected="one of each tuned block")
    for loss in telemetry.losses:
        if not (math.isfinite(loss.first) and math.isfinite(loss.best)):
            raise QuantizeError(
                f"tuning of {loss.block} went wrong",
                expected="finite losses",
                found=f"{loss.first} → {loss.best}",
                remedy="lower tuning.learning_rate, or look for broken weights in the base",
            )
