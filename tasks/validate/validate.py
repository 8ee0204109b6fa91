"""The validate stage: evidence and a verdict; only ACCEPT lets a release go on.

A recipe that has the files checked alone gets LINT_ONLY in its place: its release goes on too, and
upload keeps it private.
"""

import shutil
from pathlib import Path

from tasks.clients.hub import Hub
from tasks.clients.sources import load_rows
from tasks.core.digest import sha256_json
from tasks.core.errors import CheckFailed, Damaged, Undecided
from tasks.core.gate_records import LINT_ONLY, ValidateRecord
from tasks.core.progress import Reporter
from tasks.core.recipe import Recipe
from tasks.core.records import CalibrateRecord, ConvertRecord, DownloadRecord, PlanRecord
from tasks.core.settings import Settings
from tasks.core.workspace import Workspace
from tasks.core.workspace_shared import Shared
from tasks.validate.assess import REPORT, Subject, assess, load_tasks
from tasks.validate.engine import find_engine
from tasks.validate.evidence import Evidence, as_checks
from tasks.validate.gate import Folders

STAGE, HELDOUT, TASKS = "validate", "validation.heldout", "validation.tasks."


def run(
    plan: PlanRecord,
    download: DownloadRecord,
    calibrate: CalibrateRecord,
    convert: ConvertRecord,
    *,
    recipe: Recipe,
    settings: Settings,
    hub: Hub,
    home: Path,
    reporter: Reporter,
    shared: Shared | None = None,
) -> ValidateRecord:
    """Judge a release; the record exists only if the verdict is ACCEPT, or LINT_ONLY.

    What was found is kept in `evidence.json`, `report.html` and the log-probabilities: among the
    stage's files, or in its scratch folder where the verdict is no. The servers' logs stay there.

    Args:
        plan: names the release and pins the held-out rows.
        download: the base.
        calibrate: the set it was calibrated with; a new one makes a new judgement.
        convert: the candidate.
        recipe: says what is required.
        settings: name the serving environment.
        hub: where the held-out rows are.
        home: root of the workspaces.
        reporter: is told how far it is.
        shared: what this machine has in common with others; None for nothing.

    Raises:
        CheckFailed: the verdict is no; the message names what failed, and by how much.
        ServingError: the serving environment is missing, or a model cannot be served.
        ServingUnavailable: a server went away.
    """
    workspace = Workspace.of_release(home, plan.release_id, shared)
    bases = Workspace.of_base(home, plan.base, plan.commit, shared)
    inputs = {
        "download": download.digest,
        "calibrate": calibrate.digest,
        convert.stage: convert.digest,
        "heldout": plan.sources[HELDOUT],
        "recipe": sha256_json(recipe.validation.model_dump(mode="json")),
        "engine": str(find_engine(settings.serve_python)),
    } | {place: digest for place, digest in plan.sources.items() if place.startswith(TASKS)}

    def make(partial: Path) -> dict[str, object]:
        scratch = workspace.scratch(STAGE)
        folders = Folders(
            base=bases.here(download).path,
            candidate=workspace.here(convert).path,
            evidence=scratch / "evidence",
            logs=scratch,
        )
        heldout = plan.sources[HELDOUT]
        evidence = assess(
            Subject(
                base=download.digest,
                candidate=convert.digest,
                heldout=heldout,
                names=(f"{plan.base} at {plan.commit}", plan.release_id),
            ),
            folders,
            bases=bases,
            rows=lambda: load_rows(recipe.validation.heldout, hub, home / "data", heldout),
            task_rows=lambda: load_tasks(recipe.validation, hub, home / "data", plan.sources),
            recipe=recipe.keeping(convert.kept),
            settings=settings,
            reporter=reporter,
            repairs=convert.repairs,
        )
        require_passed(evidence, folders.evidence)
        shutil.copytree(folders.evidence, partial, dirs_exist_ok=True)
        reporter.update(1.0, evidence.verdict)
        return facts(evidence)

    return workspace.run(STAGE, ValidateRecord, inputs, make)


def require_passed(evidence: Evidence, folder: Path) -> None:
    """Pass on ACCEPT, and on the LINT_ONLY of a recipe that asks for no more.

    Args:
        evidence: what was found.
        folder: where it lies, for the message.

    Raises:
        CheckFailed: names the checks that failed, and the measures that are not shown to hold.
        Damaged: the same, where what was measured shows damage and the files are in order.
        Undecided: the same, where the verdict is INCONCLUSIVE.
    """
    if evidence.verdict in {"ACCEPT", LINT_ONLY}:
        return
    open_ = as_checks(evidence.open, evidence.confidence)
    failed = [*evidence.failed, *open_]
    told = [f"{check.name}: {check.seen}" for check in failed]
    raise _refusal(evidence)(
        f"{evidence.candidate} must not leave: {evidence.verdict}, "
        f"{len(failed)} of {len(evidence.checks) + len(evidence.measures)} checks do not hold",
        expected="; ".join(f"{check.name}: {check.required}" for check in failed),
        found="; ".join([*told, *evidence.anomalies]),
        remedy=f"read {folder / REPORT}, and docs/how-to/when-the-gate-says-no.md",
        verdict=evidence.verdict,
    )


def _refusal(evidence: Evidence) -> type[CheckFailed]:
    if evidence.verdict == "INCONCLUSIVE":
        return Undecided
    damaged = evidence.verdict == "REGRESSION" and evidence.metrics is not None
    return Damaged if damaged else CheckFailed


def facts(evidence: Evidence) -> dict[str, object]:
    """A `ValidateRecord`'s own facts."""
    return {
        "verdict": evidence.verdict,
        "checks": (*evidence.checks, *as_checks(evidence.measures, evidence.confidence)),
        "metrics": evidence.metrics,
        "measures": evidence.measures,
        "strata": evidence.strata,
        "tasks": evidence.tasks,
        "confidence": evidence.confidence,
        "kernel": evidence.kernel,
        "numerics": evidence.numerics,
        "engine": evidence.engine,
    }
