"""The repair stage: a refused release with its most harmful layers as the base has them.

It runs only where validation showed damage (REGRESSION) and the recipe allows it. Which layers harm
is measured, not guessed, on the last held-out rows, of which a large set has some that the gate
never comes to.
Nothing is tuned anew: kept layers are the base's bytes, all others stay as they were. What comes
out is judged like any other candidate, by the whole gate.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tasks.clients.hub import Hub
from tasks.clients.sources import load_rows
from tasks.core.digest import sha256_json
from tasks.core.errors import CheckFailed
from tasks.core.jobs import run_job
from tasks.core.process import child_environment
from tasks.core.progress import Reporter
from tasks.core.published import WEIGHTS
from tasks.core.recipe import Recipe
from tasks.core.recipe_validation import Repair, Validation
from tasks.core.records import ConvertRecord, DownloadRecord, PlanRecord
from tasks.core.repair_records import RepairStep, repair_stage
from tasks.core.workspace import Workspace
from tasks.core.workspace_shared import Shared
from tasks.repair.job import Job, Ranking
from tasks.repair.keep import keep

WORKER = "tasks.repair.rank_worker"
HELDOUT = "validation.heldout"
TEXTS, TOKENS = 12, 96
"""What is measured for each group of layers: enough to tell harm, little enough for hundreds."""
TARGET = 0.75
"""Share of the limit of mean KL at which no further layer is kept: its bounds must hold too."""
HEADERS = 1 << 16
"""Bytes by which the shards' headers may differ."""
QUIET = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}


def run(
    plan: PlanRecord,
    download: DownloadRecord,
    convert: ConvertRecord,
    refusal: str,
    *,
    recipe: Recipe,
    hub: Hub,
    home: Path,
    reporter: Reporter,
    shared: Shared | None = None,
) -> ConvertRecord:
    """The next candidate after one that was refused.

    Args:
        plan: names the release and pins the held-out rows.
        download: the base.
        convert: the candidate that was refused: the first, or one that was repaired before.
        refusal: why, for the record.
        recipe: says how much may be kept.
        hub: where the held-out rows are.
        home: root of the workspaces.
        reporter: is told how far it is.
        shared: what this machine has in common with others; None for nothing.

    Raises:
        CheckFailed: no layer that helps fits into the size budget.
        WorkerLost: the child was killed from outside.
        PermanentError: the child failed; transformers cannot load one of them.
    """
    allowed = recipe.validation.repair or Repair()
    workspace = Workspace.of_release(home, plan.release_id, shared)
    bases = Workspace.of_base(home, plan.base, plan.commit, shared)
    attempt = len(convert.repairs) + 1
    stage, heldout = repair_stage(attempt), plan.sources[HELDOUT]
    inputs = {
        "download": download.digest,
        convert.stage: convert.digest,
        "heldout": heldout,
        "recipe": sha256_json(recipe.validation.model_dump(mode="json")),
    }

    def make(partial: Path) -> dict[str, object]:
        base, candidate = bases.here(download).path, workspace.here(convert).path
        rows = load_rows(recipe.validation.heldout, hub, home / "data", heldout)
        whole = sum(f.size for f in download.files if f.path.endswith(WEIGHTS))
        job = Job(
            base=base.resolve(),
            candidate=candidate.resolve(),
            rows=tuple(last_rows(rows, TEXTS)),
            tokens=TOKENS,
            room=_room(convert, whole, recipe.validation, allowed),
            target=TARGET * recipe.validation.limits.mean_kl,
        )
        found = _ranked(job, workspace.scratch(stage), reporter)
        _refuse_nothing(found, allowed)
        modules = {module for kept in found.kept for module in kept.modules}
        ignore = keep(partial, base, candidate, modules, recipe.max_shard_bytes)
        reporter.update(1.0, f"{len(modules)} layers are the base's again")
        step = RepairStep(
            attempt=attempt,
            refusal=refusal,
            engine=found.engine,
            kept=found.kept,
            considered=found.considered,
            tokens=found.tokens,
            kl_before=found.before,
            kl_after=found.after,
            bytes_before=convert.weight_bytes,
            bytes_after=_weight_bytes(partial),
        )
        return {
            "quantized_modules": convert.quantized_modules - len(modules),
            "copied_tensors": convert.copied_tensors + len(modules),
            "weight_bytes": step.bytes_after,
            "ignore": ignore,
            "repairs": (*convert.repairs, step),
        }

    return workspace.run(stage, ConvertRecord, inputs, make)


def _room(convert: ConvertRecord, base: int, validation: Validation, allowed: Repair) -> int:
    """Bytes that may still be added: of the budget, and below the gate's own limit of size."""
    added = sum(kept.bytes for step in convert.repairs for kept in step.kept)
    budget = int(allowed.size_budget * base) - added
    return min(budget, int(validation.limits.size_ratio * base) - convert.weight_bytes - HEADERS)


def last_rows(rows: Sequence[dict[str, Any]], count: int) -> Iterator[dict[str, Any]]:
    """The last rows without an image."""
    yield from [row for row in rows if "image" not in row][-count:]


def _ranked(job: Job, scratch: Path, reporter: Reporter) -> Ranking:
    reporter.update(0.0, "loading base and candidate to find the layers that harm")

    def told(line: str) -> None:
        if line.startswith("measured ") and len(words := line.split()) == 4:  # noqa: PLR2004
            reporter.update(0.9 * int(words[1]) / int(words[3]), line)

    return run_job(
        WORKER, job, Ranking, scratch=scratch, env=child_environment(**QUIET), on_line=told
    )


def _refuse_nothing(found: Ranking, allowed: Repair) -> None:
    if found.kept:
        return
    raise CheckFailed(
        "the release was shown to be damaged, and no repair within the size budget helps",
        expected=f"a layer that helps and fits into {allowed.size_budget:g} of the base's bytes",
        found=f"{found.considered} groups of layers that fit, none of which helps",
        remedy="raise validation.repair.size_budget, or see "
        "docs/how-to/when-the-gate-says-no.md for other ways",
    )


def _weight_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob(f"*{WEIGHTS}"))
