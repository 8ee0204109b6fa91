"""The archive stage: send the bundle, then the manifest; a whole archive is never touched again."""

import shutil
from pathlib import Path

from tasks.archive.bundle import Bundle, collect
from tasks.archive.counting import Counting
from tasks.archive.manifest import find_manifest
from tasks.clients.s3 import Store
from tasks.core.archived import CHECKPOINT, MANIFEST, ArchivedFile, Manifest, Origin, is_shard
from tasks.core.errors import IntegrityError
from tasks.core.leaks import refuse_secrets
from tasks.core.progress import Reporter
from tasks.core.records import ArchiveRecord, ConvertRecord, Release, UploadRecord
from tasks.core.settings import Settings
from tasks.core.workspace import Workspace
from tasks.core.workspace_release import release_here
from tasks.core.workspace_shared import Shared
from tasks.sign.manifests import sign_manifest
from tasks.sign.signer import Signer

STAGE = "archive"


def run(
    release: Release,
    upload: UploadRecord,
    *,
    store: Store,
    home: Path,
    settings: Settings,
    reporter: Reporter,
    shared: Shared | None = None,
) -> ArchiveRecord:
    """Archive a release below `settings.archive`; one that is there already is left alone.

    Args:
        release: what the stages before said.
        upload: where it is published, and its documents.
        store: where objects go.
        home: of the workspaces.
        settings: name the archive, the signing key, and the secrets that must not get into it.
        reporter: told of bytes sent.
        shared: what this machine has in common with others; None for nothing.

    Raises:
        CheckFailed: a file holds a secret; nothing was sent.
        InputError: there is no signing key.
        IntegrityError: a file changed since it was recorded, or the archive holds another release
            under this name.
        StoreError, StoreUnavailable: S3 refused or did not answer.
    """
    plan = release.plan
    signer = Signer.from_settings(settings)
    workspace = Workspace.of_target(home, plan.release_id, plan.target, shared)
    made = Workspace.of_release(home, plan.release_id, shared)
    uri = f"{settings.archive.rstrip('/')}/{plan.target}/{plan.release_id}"
    origin = Origin(
        release_id=plan.release_id,
        base=plan.base,
        base_commit=plan.commit,
        **upload.model_dump(include={"repo", "commit", "tag", "url"}),
    )

    def make(folder: Path) -> dict[str, object]:
        shutil.rmtree(folder)
        folder.mkdir()
        here = release_here(release, home, shared)
        for stage in release.stages:
            made.bring_logs(stage)
        logs = made.root / "scratch"
        bundle = collect(here, workspace.here(upload), logs=logs, made=folder)
        refuse_secrets((path for path, _ in bundle.values()), settings)
        manifest = find_manifest(uri, store)
        if manifest is None:
            manifest = deliver(bundle, origin, uri, store, signer, reporter)
        if count := store.clear_uploads(uri):  # now that nobody needs them
            reporter.note(f"{count} uploads that were cut off were cleared away")
        _same_model(manifest, release.convert, uri)
        (folder / MANIFEST).write_bytes(manifest.to_json())
        return {"uri": uri}

    inputs = release.inputs | {upload.stage: upload.digest, "uri": uri}
    record = workspace.run(STAGE, ArchiveRecord, inputs, make)
    if find_manifest(uri, store) is None:
        reporter.note(f"{uri} is gone since it was archived; archiving again")
        workspace.forget(record)
        record = workspace.run(STAGE, ArchiveRecord, inputs, make)
    return record


def deliver(
    bundle: Bundle, origin: Origin, uri: str, store: Store, signer: Signer, reporter: Reporter
) -> Manifest:
    """Send what is not there yet, the signed manifest last.

    Raises:
        IntegrityError: a file changed since it was recorded, or an object is there with other
            bytes.
        StoreError, StoreUnavailable: S3 refused or did not answer.
    """
    store.check_writable(uri)
    files = _send(bundle, uri, store, reporter)
    manifest = sign_manifest(Manifest(origin=origin, files=files), signer)
    store.put_bytes(manifest.to_json(), f"{uri}/{MANIFEST}")
    reporter.note(f"archived {len(bundle)} files to {uri}")
    return manifest


def _send(bundle: Bundle, uri: str, store: Store, reporter: Reporter) -> tuple[ArchivedFile, ...]:
    counting = Counting(reporter, "archiving", sum(file.size for _, file in bundle.values()))
    files = []
    for name, (path, file) in sorted(bundle.items()):
        sent = store.put_file(
            path,
            f"{uri}/{name}",
            sha256=file.sha256,
            cold=is_shard(name),
            advance=counting.of(name),
        )
        files.append(
            ArchivedFile(path=name, size=sent.size, sha256=sent.sha256, crc64nvme=sent.crc64nvme)
        )
    return tuple(files)


def _same_model(there: Manifest, convert: ConvertRecord, uri: str) -> None:
    """Raise if a whole archive is another release than the one that was converted.

    The model decides: records, logs and documents of a second making differ in what they say of
    its duration, and those that were archived first stand.
    """
    model = {f"{CHECKPOINT}{file.path}": file.sha256 for file in convert.files}
    kept = {file.path: file.sha256 for file in there.files}
    differing = [path for path, sha256 in model.items() if kept.get(path) != sha256]
    differing += [path for path in kept if is_shard(path) and path not in model]
    if differing:
        raise IntegrityError(
            f"{uri} holds another release under this name",
            expected="the files of this release, byte for byte",
            found=f"differing: {', '.join(differing)}",
            remedy="keep the archive; find out why an equal recipe and base made other bytes",
        )
