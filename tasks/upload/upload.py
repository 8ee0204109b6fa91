"""The upload stage: an accepted release becomes one tagged commit, and stays it."""

import shutil
from pathlib import Path

from tasks.clients.hub import Hub
from tasks.core.errors import CheckFailed, IntegrityError
from tasks.core.leaks import refuse_secrets
from tasks.core.manifest import relative_files
from tasks.core.progress import Reporter
from tasks.core.recipe import Recipe
from tasks.core.records import (
    CalibrateRecord,
    ConvertRecord,
    DownloadRecord,
    PlanRecord,
    QuantizeRecord,
    UploadRecord,
    ValidateRecord,
)
from tasks.core.settings import Settings
from tasks.core.workspace import Workspace
from tasks.upload.documents import write_documents
from tasks.upload.publish import Release, is_document, publish
from tasks.upload.sources import Sources

STAGE = "upload"


def run(
    plan: PlanRecord,
    download: DownloadRecord,
    calibrate: CalibrateRecord,
    quantize: QuantizeRecord,
    convert: ConvertRecord,
    validate: ValidateRecord,
    *,
    recipe: Recipe,
    hub: Hub,
    settings: Settings,
    home: Path,
    reporter: Reporter,
) -> UploadRecord:
    """Publish a release on the Hub; the record's folder holds its card and documents.

    Args:
        plan: the stages' records, in their order.
        download: see `plan`.
        calibrate: see `plan`.
        quantize: see `plan`.
        convert: see `plan`.
        validate: see `plan`; its verdict must be ACCEPT.
        recipe: the recipe.
        hub: where the release goes.
        settings: names the Hub for links, and the secrets that must not get out.
        home: of the workspaces.
        reporter: told of what is sent.

    Raises:
        CheckFailed: the verdict is no, or is about other files, or a file holds a secret; the Hub
            was not asked anything.
        IntegrityError: files changed since they were validated, or the Hub holds other files
            under this release's tag.
        TargetError, HubUnavailable: the Hub refused or did not answer.
        TransientError: somebody committed meanwhile.
    """
    _refuse_unless_accepted(convert, validate)
    convert.verify()
    sources = Sources(plan, download, calibrate, quantize, convert, validate, recipe)
    workspace = Workspace.of_release(home, plan.release_id)

    def make(folder: Path) -> dict[str, object]:
        _empty(folder)
        write_documents(sources, folder, settings.hub_url)
        release = _release(sources, folder)
        refuse_secrets(release.paths.values(), settings)
        commit = publish(release, hub, reporter, private=settings.private)
        _adopt(release, commit, folder, hub)
        return {
            "repo": release.repo,
            "commit": commit,
            "tag": release.tag,
            "url": f"{settings.hub_url}/{release.repo}/tree/{release.tag}",
        }

    inputs = {record.stage: record.digest for record in sources.stages}
    inputs |= {"target": plan.target, "recipe": recipe.digest}
    record = workspace.run(STAGE, UploadRecord, inputs, make)
    if publish(_release(sources, record.path), hub, reporter) != record.commit:
        reporter.note(f"{record.repo} was made anew since; publishing again")
        (workspace.root / f"{STAGE}.json").unlink()
        record = workspace.run(STAGE, UploadRecord, inputs, make)
    return record


def _refuse_unless_accepted(convert: ConvertRecord, validate: ValidateRecord) -> None:
    failed = [check.name for check in validate.checks if not check.passed]
    if validate.verdict != "ACCEPT":
        raise CheckFailed(
            "only a release that validation accepted may be uploaded",
            expected="the verdict ACCEPT",
            found=f"{validate.verdict}; failed: {', '.join(failed) or 'none named'}",
            remedy=f"read the evidence in {validate.folder}",
        )
    if validate.inputs.get(convert.stage, convert.digest) != convert.digest:
        raise CheckFailed(
            "the verdict is about another checkpoint than the one to upload",
            expected=f"the checkpoint {validate.inputs[convert.stage]}",
            found=convert.digest,
            remedy="validate this checkpoint",
        )


def _empty(folder: Path) -> None:
    """Remove what an attempt that died left."""
    shutil.rmtree(folder)
    folder.mkdir()


def _release(sources: Sources, folder: Path) -> Release:
    plan = sources.plan
    return Release(
        repo=plan.target,
        tag=plan.release_id,
        origin=f"NVFP4 of {plan.base}, commit {plan.commit}",
        folder=sources.convert.path,
        files=sources.convert.files,
        documents={path: folder / path for path in relative_files(folder)},
    )


def _adopt(release: Release, commit: str, folder: Path, hub: Hub) -> None:
    """Make the folder's documents those of the commit, which an earlier run may have written."""
    there = {f.path: f for f in hub.files(release.repo, commit) if is_document(f.path)}
    for path in set(relative_files(folder)) - set(there):
        (folder / path).unlink()
    for path, file in there.items():
        try:
            file.verify(folder / path)
        except IntegrityError:
            (folder / path).unlink(missing_ok=True)
            hub.fetch(release.repo, commit, file, folder)
