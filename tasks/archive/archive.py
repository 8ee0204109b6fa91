"""The archive stage: send the bundle, then the manifest; a whole archive is never touched again."""

import shutil
from pathlib import Path

from tasks.archive.bundle import Bundle, collect
from tasks.archive.counting import Counting
from tasks.archive.manifest import (
    CHECKPOINT,
    MANIFEST,
    ArchivedFile,
    Manifest,
    Origin,
    find_manifest,
    is_shard,
)
from tasks.clients.s3 import Store
from tasks.core.errors import IntegrityError
from tasks.core.leaks import refuse_secrets
from tasks.core.progress import Reporter
from tasks.core.recipe import Recipe
from tasks.core.records import (
    ArchiveRecord,
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

STAGE = "archive"


def run(
    plan: PlanRecord,
    download: DownloadRecord,
    calibrate: CalibrateRecord,
    quantize: QuantizeRecord,
    convert: ConvertRecord,
    validate: ValidateRecord,
    upload: UploadRecord,
    *,
    recipe: Recipe,
    store: Store,
    home: Path,
    settings: Settings,
    reporter: Reporter,
) -> ArchiveRecord:
    """Archive a release below `settings.archive`; one that is there already is left alone.

    Args:
        plan: the stages' records, in their order.
        download: see `plan`.
        calibrate: see `plan`.
        quantize: see `plan`.
        convert: see `plan`.
        validate: see `plan`.
        upload: see `plan`.
        recipe: the recipe.
        store: where objects go.
        home: of the workspaces.
        settings: names the archive, and the secrets that must not get into it.
        reporter: told of bytes sent.

    Raises:
        CheckFailed: a file holds a secret; nothing was sent.
        IntegrityError: a file changed since it was recorded, or the archive holds another release
            under this name.
        StoreError, StoreUnavailable: S3 refused or did not answer.
    """
    workspace = Workspace.of_release(home, plan.release_id)
    stages = (plan, download, calibrate, quantize, convert, validate, upload)
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
        bundle = collect(*stages, recipe=recipe, scratch=workspace.root / "scratch", made=folder)
        refuse_secrets((path for path, _ in bundle.values()), settings)
        manifest = find_manifest(uri, store) or deliver(bundle, origin, uri, store, reporter)
        _same_model(manifest, convert, uri)
        (folder / MANIFEST).write_bytes(manifest.to_json())
        return {"uri": uri}

    inputs = {record.stage: record.digest for record in stages} | {"uri": uri}
    record = workspace.run(STAGE, ArchiveRecord, inputs, make)
    if find_manifest(uri, store) is None:
        reporter.note(f"{uri} is gone since it was archived; archiving again")
        (workspace.root / f"{STAGE}.json").unlink()
        record = workspace.run(STAGE, ArchiveRecord, inputs, make)
    return record


def deliver(bundle: Bundle, origin: Origin, uri: str, store: Store, reporter: Reporter) -> Manifest:
    """Send what is not there yet, the manifest last.

    Raises:
        IntegrityError: a file changed since it was recorded, or an object is there with other
            bytes.
        StoreError, StoreUnavailable: S3 refused or did not answer.
    """
    store.check_writable(uri)
    manifest = Manifest(origin=origin, files=_send(bundle, uri, store, reporter))
    store.put_bytes(manifest.to_json(), f"{uri}/{MANIFEST}")
    reporter.note(f"archived {len(bundle)} files to {uri}")
    return manifest


def _send(bundle: Bundle, uri: str, store: Store, reporter: Reporter) -> tuple[ArchivedFile, ...]:
    counting = Counting(reporter, "archiving", sum(file.size for _, file in bundle.values()))
    files = []
    for name, (path, file) in sorted(bundle.items()):
        sent = store.put_file(path, f"{uri}/{name}", sha256=file.sha256, advance=counting.of(name))
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
