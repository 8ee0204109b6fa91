"""The calibrate stage: rows of the recipe's sources become samples of exactly equal length."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tasks.calibrate.job import CONTENT, PROVENANCE, Job, Result, Row
from tasks.calibrate.provenance import describe, refuse_overlap
from tasks.clients.hub import Hub
from tasks.clients.sources import load_rows
from tasks.core.digest import indented_json, sha256_json
from tasks.core.jobs import run_job
from tasks.core.process import child_environment
from tasks.core.progress import Reporter
from tasks.core.recipe import Recipe
from tasks.core.records import CalibrateRecord, DownloadRecord, PlanRecord
from tasks.core.workspace import Workspace
from tasks.core.workspace_shared import Shared

STAGE = "calibrate"
SOURCE, IMAGES = "calibration.source", "calibration.images"
WORKER = "tasks.calibrate.worker"
OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
}
Rows = dict[str, list[Row]]


def run(
    plan: PlanRecord,
    download: DownloadRecord,
    *,
    recipe: Recipe,
    hub: Hub,
    home: Path,
    reporter: Reporter,
    shared: Shared | None = None,
) -> CalibrateRecord:
    """Make the calibration set, or hand out the one that was made.

    Args:
        plan: pins the sources.
        download: has the base's tokenizer and processor.
        recipe: says how many samples of how many tokens, from where.
        hub: where sources on the Hub are.
        home: root of the workspaces.
        reporter: is told how far it is.
        shared: what this machine has in common with others; None for nothing.

    Raises:
        InputError: the rows cannot fill the samples, an image cannot be read or does not fit, or
            a sample was made of held-out rows.
        BaseModelError: the base's tokenizer or processor cannot be loaded.
        WorkerLost: the child was killed from outside.
    """
    workspace = Workspace.of_release(home, plan.release_id, shared)
    bases = Workspace.of_base(home, plan.base, plan.commit, shared)
    inputs = {
        "download": download.digest,
        "recipe": sha256_json(recipe.calibration.model_dump(mode="json")),
    } | {f"source {place}": digest for place, digest in plan.sources.items()}

    def load() -> Rows:
        named = {
            SOURCE: recipe.calibration.source,
            IMAGES: recipe.calibration.images if recipe.calibration.image_samples else None,
            **recipe.validation.sources,
        }
        return {
            place: load_rows(source, hub, home / "data", plan.sources[place])
            for place, source in named.items()
            if source
        }

    return workspace.run(
        STAGE,
        CalibrateRecord,
        inputs,
        lambda partial: build(
            partial, bases.here(download).path, load, recipe, workspace.scratch(STAGE), reporter
        ),
    )


def build(
    folder: Path,
    base: Path,
    load: Callable[[], Rows],
    recipe: Recipe,
    scratch: Path,
    reporter: Reporter,
) -> dict[str, object]:
    """Fill `folder` with samples and their provenance; what it held before is removed.

    Args:
        folder: takes `samples.safetensors` and `provenance.json`.
        base: folder with the base's tokenizer, processor and config.
        load: gives the rows of each source, by the source's place in the recipe.
        recipe: says what to make.
        scratch: takes rows, job and log.
        reporter: is told how far it is.

    Returns:
        The facts of a `CalibrateRecord`.
    """
    reporter.update(0.05, "reading rows")
    rows = load()
    reporter.update(0.3, "making samples")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    job = _job(folder, base, rows, recipe, scratch)
    env = child_environment(**OFFLINE)
    made = run_job(WORKER, job, Result, scratch=scratch, env=env)
    used = _used(made, rows)
    for place in recipe.validation.sources:
        refuse_overlap(used, rows[place], place)
    facts = _facts(made, recipe)
    _write_provenance(folder / PROVENANCE, facts, describe(made, used))
    reporter.note(f"{job.nsamples} samples of {job.seqlen} tokens, {job.image_samples} with images")
    reporter.update(1.0, "samples made")
    return facts


def _job(folder: Path, base: Path, rows: Rows, recipe: Recipe, scratch: Path) -> Job:
    wanted = recipe.calibration
    return Job(
        model=base.resolve(),
        rows=_written(scratch / "rows.jsonl", rows[SOURCE]),
        images=_written(scratch / "images.jsonl", rows[IMAGES]) if wanted.image_samples else None,
        output=folder.resolve(),
        nsamples=wanted.nsamples,
        image_samples=wanted.image_samples,
        seqlen=wanted.seqlen,
        seed=wanted.seed,
    )


def _written(path: Path, rows: list[Row]) -> Path:
    with path.open("w", encoding="utf-8") as stream:
        for row in rows:
            kept = {key: row[key] for key in CONTENT if key in row}
            stream.write(json.dumps(kept, default=lambda image: str(image.resolve())) + "\n")
    return path.resolve()


def _used(made: Result, rows: Rows) -> dict[tuple[str, int], Row]:
    keys = sorted({(part.place, part.row) for sample in made.samples for part in sample.parts})
    return {(place, number): rows[place][number] for place, number in keys}


def _facts(made: Result, recipe: Recipe) -> dict[str, object]:
    return {
        "nsamples": len(made.samples),
        "seqlen": recipe.calibration.seqlen,
        "image_samples": sum(sample.kind == "image" for sample in made.samples),
        "set_digest": sha256_json([sample.sha256 for sample in made.samples]),
    }


def _write_provenance(path: Path, facts: dict[str, object], samples: list[dict[str, Any]]) -> None:
    path.write_text(indented_json(facts | {"samples": samples}))
