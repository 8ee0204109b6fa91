"""The upload stage: an accepted release becomes one signed, tagged commit, and stays it.

A release whose quality was not measured goes to private repositories alone.
"""

import shutil
from pathlib import Path

from tasks.clients.hub import Hub
from tasks.core.errors import CheckFailed, IntegrityError
from tasks.core.gate_records import LINT_ONLY
from tasks.core.leaks import refuse_secrets
from tasks.core.manifest import relative_files
from tasks.core.progress import Reporter
from tasks.core.published import is_document
from tasks.core.records import Release, UploadRecord
from tasks.core.settings import Settings
from tasks.core.workspace import Workspace
from tasks.core.workspace_release import release_here
from tasks.core.workspace_shared import Shared
from tasks.sign.signer import Signer
from tasks.upload.documents import check_signature, digests, sign, write_documents
from tasks.upload.former import find_former
from tasks.upload.publish import Publication, describe, publish

STAGE = "upload"


def run(
    release: Release,
    *,
    hub: Hub,
    settings: Settings,
    home: Path,
    reporter: Reporter,
    shared: Shared | None = None,
) -> UploadRecord:
    """Publish a release on the Hub; the record's folder holds its card and documents.

    Args:
        release: what the stages before said; the verdict must be ACCEPT, or
            LINT_ONLY, whose target must be private.
        hub: where the release goes.
        settings: name the signing key, the Hub for links, and the secrets that must not get out.
        home: of the workspaces.
        reporter: told of what is sent.
        shared: what this machine has in common with others; None for nothing.

    Raises:
        CheckFailed: the verdict is no, or is about other files, or a file holds a secret; the Hub
            was not asked anything.
        InputError: there is no signing key.
        IntegrityError: files changed since they were validated, or the Hub holds other files
            under this release's tag.
        TargetError, HubUnavailable: the Hub refused or did not answer, or the target is public and
            the release's quality was not measured.
        TransientError: somebody committed meanwhile.
    """
    _refuse_unless_accepted(release)
    signer = Signer.from_settings(settings)
    release = release_here(release, home, shared)
    release.convert.verify(deep=False)  # the commit reads every byte and compares
    plan = release.plan
    if not release.validate.measured:
        hub.refuse_public(plan.target)
        reporter.note(f"quality was not measured, so {plan.target} stays private")
    workspace = Workspace.of_target(home, plan.release_id, plan.target, shared)

    def make(folder: Path) -> dict[str, object]:
        _empty(folder)
        refuse_secrets(_own_files(release), settings)
        if plan.release_id not in hub.tags(plan.target):
            hub.can_write(plan.target)  # before the minutes that hashing takes
        head = hub.head(plan.target)
        former = find_former(plan.target, head, hub, signer.verifier)
        write_documents(release, folder, hub_url=settings.hub_url, former=former, signer=signer)
        sign(release, folder, signer)
        publication = published(release, folder)
        refuse_secrets(publication.paths.values(), settings)
        commit = publish(publication, hub, reporter, private=settings.private, parent=head)
        _adopt(publication, commit, folder, hub)
        check_signature(release, folder, signer)
        return {
            "repo": plan.target,
            "commit": commit,
            "tag": plan.release_id,
            "url": f"{settings.hub_url}/{plan.target}/tree/{plan.release_id}",
        }

    inputs = release.inputs
    record = workspace.here(workspace.run(STAGE, UploadRecord, inputs, make))
    if publish(published(release, record.path), hub, reporter) != record.commit:
        reporter.note(f"{record.repo} was made anew since; publishing again")
        workspace.forget(record)
        record = workspace.run(STAGE, UploadRecord, inputs, make)
    return record


def published(release: Release, folder: Path) -> Publication:
    """What the Hub gets: the model's files, and the documents in a folder."""
    plan, model = release.plan, release.convert
    return Publication(
        repo=plan.target,
        tag=plan.release_id,
        origin=describe(plan.base, plan.commit),
        paths={file.path: model.path / file.path for file in model.files}
        | {path: folder / path for path in relative_files(folder)},
        sha256=digests(release, folder),
        confined=not release.validate.measured,
    )


def _refuse_unless_accepted(release: Release) -> None:
    convert, validate = release.convert, release.validate
    failed = [check.name for check in validate.checks if not check.passed]
    if validate.verdict not in {"ACCEPT", LINT_ONLY}:
        raise CheckFailed(
            "only a release that validation accepted may be uploaded",
            expected=f"the verdict ACCEPT, or {LINT_ONLY} for a private target",
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


def _own_files(release: Release) -> list[Path]:
    """What the stages left that goes out as it is."""
    model = [release.convert.path / file.path for file in release.convert.files]
    return model + [release.validate.path / file.path for file in release.evidence]


def _empty(folder: Path) -> None:
    """Remove what an attempt that died left."""
    shutil.rmtree(folder)
    folder.mkdir()


def _adopt(publication: Publication, commit: str, folder: Path, hub: Hub) -> None:
    """Make the folder's documents those of the commit, which an earlier run may have written."""
    there = {f.path: f for f in hub.files(publication.repo, commit) if is_document(f.path)}
    for path in set(relative_files(folder)) - set(there):
        (folder / path).unlink()
    for path, file in there.items():
        try:
            file.verify(folder / path)
        except IntegrityError:
            (folder / path).unlink(missing_ok=True)
            hub.fetch(publication.repo, commit, file, folder)
