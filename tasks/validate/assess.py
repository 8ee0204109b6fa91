"""One judgement from two folders, with what was measured of the base before."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tasks.clients.hub import Hub
from tasks.clients.sources import load_rows, resolve_source
from tasks.core.digest import indented_json, sha256_file, sha256_json
from tasks.core.errors import InputError
from tasks.core.manifest import Frozen, relative_files
from tasks.core.progress import Reporter
from tasks.core.recipe import Recipe
from tasks.core.recipe_validation import Validation
from tasks.core.repair_records import RepairStep
from tasks.core.settings import Settings
from tasks.core.workspace import BASES, Workspace
from tasks.validate import report
from tasks.validate.baseline import Baseline, cached_baseline, read_baseline
from tasks.validate.control import cached_control
from tasks.validate.engine import find_engine
from tasks.validate.evidence import Evidence
from tasks.validate.gate import Folders, Gate
from tasks.validate.logprobs import TextLogprobs
from tasks.validate.scores.items import TaskRows, items_of

EVIDENCE, REPORT, HELDOUT = "evidence.json", "report.html", "validation.heldout"
Rows = Callable[[], Sequence[dict[str, Any]]]


class Subject(Frozen):
    """What is judged: digests of base, candidate and held-out rows, and names for people."""

    base: str
    candidate: str
    heldout: str
    names: tuple[str, str]


def assess(
    subject: Subject,
    folders: Folders,
    *,
    bases: Workspace,
    rows: Rows,
    task_rows: Callable[[], TaskRows] = dict,
    recipe: Recipe,
    settings: Settings,
    reporter: Reporter,
    own: bool = True,
    repairs: tuple[RepairStep, ...] = (),
) -> Evidence:
    """Judge, and leave `evidence.json` and `report.html` in the evidence folder.

    Args:
        subject: what is judged.
        folders: where it is; the evidence folder is emptied first.
        bases: keeps what is measured of the base and of its control.
        rows: gives the held-out rows, if the base has to be measured.
        task_rows: gives the rows of each task.
        recipe: says what is required.
        settings: name the serving environment.
        reporter: is told how far it is.
        own: whether the recipe also says which layers are quantized.
        repairs: what was done to the candidate since it was refused, for the report.

    Raises:
        ServingError: the serving environment is missing, or a model cannot be served.
        ServingUnavailable: a server went away.
    """
    inputs = {"base": subject.base, "heldout": subject.heldout}

    def baseline(progress: Reporter) -> Baseline:
        folder = cached_baseline(
            bases, folders.base, inputs, rows=rows(),
            items=items_of(recipe.validation.tasks, task_rows()), validation=recipe.validation,
            settings=settings, reporter=progress,
        )  # fmt: skip
        return read_baseline(folder)

    def control(known: Baseline, progress: Reporter) -> list[TextLogprobs]:
        engine = str(find_engine(settings.serve_python))
        return cached_control(
            bases, folders.base, folders.candidate,
            inputs | {"candidate": subject.candidate, "engine": engine},
            known=known, validation=recipe.validation, settings=settings, reporter=progress,
        )  # fmt: skip

    shutil.rmtree(folders.evidence, ignore_errors=True)
    folders.evidence.mkdir(parents=True)
    gate = Gate(folders, recipe=recipe, settings=settings, reporter=reporter, own=own)
    evidence = gate.judge(baseline, control, subject.names)
    evidence = evidence.model_copy(update={"repairs": repairs})
    publish(evidence, folders.evidence)
    return evidence


def load_tasks(
    validation: Validation, hub: Hub, cache: Path, digests: Mapping[str, str]
) -> TaskRows:
    """The rows of each task, by its name.

    Args:
        validation: names the tasks.
        hub: where their rows are.
        cache: folder for files of the Hub.
        digests: of each source, by its place in the recipe.

    Raises:
        IntegrityError: a source no longer holds what the digest says.
    """
    return {
        task.name: load_rows(task.source, hub, cache, digests[task.place])
        for task in validation.tasks
    }


def publish(evidence: Evidence, folder: Path) -> None:
    """Write `evidence.json` and `report.html` into a folder."""
    told = evidence.model_dump(mode="json") | {"verdict": evidence.verdict}
    (folder / EVIDENCE).write_text(indented_json(told))
    (folder / REPORT).write_text(report.as_html(evidence))


def assess_folders(
    base: Path,
    candidate: Path,
    output: Path,
    *,
    recipe: Recipe,
    settings: Settings,
    hub: Hub,
    reporter: Reporter,
) -> Evidence:
    """Judge a checkpoint made by anyone, against its base; neither needs a release.

    Args:
        base: folder of the base.
        candidate: folder of the candidate.
        output: takes evidence and report; replaced if it is there.
        recipe: says what is required and which texts are compared, not which layers are quantized.
        settings: name the serving environment and where results of bases are kept.
        hub: where the held-out rows are.
        reporter: is told how far it is.

    Raises:
        InputError: a folder does not exist, or holds no checkpoint, or the recipe measures nothing.
        ServingError: the serving environment is missing, or a model cannot be served.
        ServingUnavailable: a server went away.
    """
    if not recipe.validation.measures:
        raise InputError(
            f"the recipe {recipe.name} measures nothing, so that there is no gate",
            expected="validation.profile: full",
            found=f"validation.profile: {recipe.validation.profile}",
            remedy="roundhouse lint checks the files of a checkpoint",
        )
    models = [_digest(folder) for folder in (base, candidate)]
    judging, cache = recipe.validation.sources, settings.home / "data"
    digests = {place: resolve_source(source, hub).digest for place, source in judging.items()}
    subject = Subject(
        base=models[0],
        candidate=models[1],
        heldout=digests[HELDOUT],
        names=(base.resolve().name, candidate.resolve().name),
    )
    bases = Workspace(settings.home, f"{BASES}/folders/{models[0][:16]}")
    folders = Folders(base=base, candidate=candidate, evidence=output, logs=bases.scratch("gate"))
    return assess(
        subject,
        folders,
        bases=bases,
        rows=lambda: load_rows(recipe.validation.heldout, hub, cache, digests[HELDOUT]),
        task_rows=lambda: load_tasks(recipe.validation, hub, cache, digests),
        recipe=recipe,
        settings=settings,
        reporter=reporter,
        own=False,
    )


def _digest(folder: Path) -> str:
    """Digest of all files of a checkpoint."""
    if not (folder / "config.json").is_file():
        raise InputError(
            f"{folder} holds no checkpoint",
            expected="a folder with config.json and safetensors",
            remedy="name the folder of a base, then that of its quantized checkpoint",
        )
    return sha256_json({name: sha256_file(folder / name) for name in relative_files(folder)})
