"""The validate stage: evidence and a verdict; only ACCEPT lets a release go on."""

import shutil
from pathlib import Path

from tasks.clients.hub import Hub
from tasks.clients.sources import load_rows
from tasks.core.digest import sha256_json
from tasks.core.errors import CheckFailed
from tasks.core.progress import Reporter
from tasks.core.recipe import Recipe
from tasks.core.records import (
    CalibrateRecord,
    ConvertRecord,
    DownloadRecord,
    PlanRecord,
    ValidateRecord,
)
from tasks.core.settings import Settings
from tasks.core.workspace import Workspace
from tasks.validate import report
from tasks.validate.baseline import Baseline, cached_baseline, read_baseline
from tasks.validate.engine import find_engine
from tasks.validate.evidence import Evidence
from tasks.validate.gate import Gate

STAGE, HELDOUT = "validate", "validation.heldout"
EVIDENCE, REPORT = "evidence.json", "report.html"


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
) -> ValidateRecord:
    """Judge a release; the record exists only if the verdict is ACCEPT.

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

    Raises:
        CheckFailed: the verdict is no; the message names what failed, and by how much.
        ServingError: the serving environment is missing, or a model cannot be served.
        ServingUnavailable: a server went away.
    """
    workspace = Workspace.of_release(home, plan.release_id)
    inputs = {
        "download": download.digest,
        "calibrate": calibrate.digest,
        "convert": convert.digest,
        "heldout": plan.sources[HELDOUT],
        "recipe": sha256_json(recipe.validation.model_dump(mode="json")),
        "engine": str(find_engine(settings.serve_python)),
    }

    def baseline(progress: Reporter) -> Baseline:
        folder = cached_baseline(
            Workspace.of_base(home, plan.base, plan.commit),
            download.path,
            {"download": download.digest, "heldout": plan.sources[HELDOUT]},
            rows=load_rows(recipe.validation.heldout, hub, home / "data", plan.sources[HELDOUT]),
            validation=recipe.validation,
            settings=settings,
            reporter=progress,
        )
        return read_baseline(folder)

    def make(partial: Path) -> dict[str, object]:
        scratch = workspace.scratch(STAGE)
        folder = scratch / "evidence"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        gate = Gate(
            download.path,
            convert.path,
            recipe=recipe,
            settings=settings,
            folder=folder,
            logs=scratch,
            reporter=reporter,
        )
        names = (f"{plan.base} at {plan.commit}", plan.release_id)
        evidence = gate.judge(baseline, names)
        publish(evidence, folder)
        require_accept(evidence, folder)
        shutil.copytree(folder, partial, dirs_exist_ok=True)
        reporter.update(1.0, evidence.verdict)
        return facts(evidence)

    return workspace.run(STAGE, ValidateRecord, inputs, make)


def publish(evidence: Evidence, folder: Path) -> None:
    """Write `evidence.json` and `report.html` into a folder."""
    told = evidence.model_dump(mode="json") | {"verdict": evidence.verdict}
    (folder / EVIDENCE).write_text(report.as_json(told))
    (folder / REPORT).write_text(report.as_html(evidence))


def require_accept(evidence: Evidence, folder: Path) -> None:
    """Pass on ACCEPT.

    Args:
        evidence: what was found.
        folder: where it lies, for the message.

    Raises:
        CheckFailed: names the checks that failed.
    """
    if evidence.verdict == "ACCEPT":
        return
    failed = evidence.failed
    raise CheckFailed(
        f"{evidence.candidate} must not leave: {evidence.verdict}, "
        f"{len(failed)} of {len(evidence.checks)} checks failed",
        expected="; ".join(f"{check.name}: {check.required}" for check in failed),
        found="; ".join(f"{check.name}: {check.seen}" for check in failed),
        remedy=f"read {folder / REPORT}",
    )


def facts(evidence: Evidence) -> dict[str, object]:
    """A `ValidateRecord`'s own facts."""
    return {
        "verdict": evidence.verdict,
        "checks": evidence.checks,
        "metrics": evidence.metrics,
        "kernel": evidence.kernel,
        "numerics": evidence.numerics,
        "engine": evidence.engine,
    }
