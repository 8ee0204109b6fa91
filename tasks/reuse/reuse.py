"""The reuse stage: calibration set and weights of an archived release in place of new ones.

For a base whose weights did not change since that release, while its tokenizer, template or
configuration did, or for a recipe that judges otherwise. The two folders are those that calibrate
and quantize would have left: convert puts the base's new files beside the old weights, byte for
byte, and validate judges the result as any other.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path

from tasks.clients.s3 import Store
from tasks.core.errors import InputError
from tasks.core.manifest import FileRecord, StageRecord
from tasks.core.progress import Reporter
from tasks.core.recipe import Recipe
from tasks.core.records import CalibrateRecord, DownloadRecord, PlanRecord, QuantizeRecord
from tasks.core.workspace import Workspace
from tasks.core.workspace_shared import Shared
from tasks.reuse.archived import REMEDY, Archived, is_weights
from tasks.sign.signer import Verifier

CALIBRATE, QUANTIZE = "calibrate", "quantize"
Made = tuple[CalibrateRecord, QuantizeRecord]


def run(
    plan: PlanRecord,
    download: DownloadRecord,
    *,
    archive: str,
    recipe: Recipe,
    store: Store,
    verifier: Verifier | None,
    home: Path,
    reporter: Reporter,
    shared: Shared | None = None,
) -> Made:
    """The records of both stages; what the workspace has of this very release is handed out.

    Args:
        plan: names the release.
        download: the base's files; its shards must be those of the archived release's base.
        archive: address of the archived release.
        recipe: how it would be made; what shapes the weights must be as in the archive.
        store: where the archive is.
        verifier: with the key that signed the archive; None compares digests alone.
        home: root of the workspaces.
        reporter: is told what is brought.
        shared: what this machine has in common with others; None for nothing.

    Raises:
        InputError: there is no whole archive, or its weights are not those of this release.
        IntegrityError: an object has other bytes than recorded, or the archive is not signed.
        StoreError, StoreUnavailable: S3 refused or did not answer.
    """
    workspace = Workspace.of_release(home, plan.release_id, shared)
    if made := _made(workspace, download):
        return made
    archived = Archived.read(archive, store, verifier)
    _refuse_other_weights(archived, download, recipe)
    bring = _Bring(archived.uri, store, reporter)
    calibrate = workspace.run(
        CALIBRATE,
        CalibrateRecord,
        {"download": download.digest, "reused": archived.calibrate.digest},
        lambda folder: bring(folder, archived.samples, archived.calibrate),
    )
    origin = archived.quantize.reused or archived.plan.release_id
    quantize = workspace.run(
        QUANTIZE,
        QuantizeRecord,
        {
            "download": download.digest,
            "calibrate": calibrate.digest,
            "reused": archived.quantize.digest,
        },
        lambda folder: bring(folder, archived.weights, archived.quantize) | {"reused": origin},
    )
    reporter.note(f"the weights are those of {origin}")
    return calibrate, quantize


def _made(workspace: Workspace, download: DownloadRecord) -> Made | None:
    """What was made for this release already, by whatever way."""
    calibrate = workspace.made_from(CALIBRATE, CalibrateRecord, [download])
    if calibrate is None:
        return None
    quantize = workspace.made_from(QUANTIZE, QuantizeRecord, [download, calibrate])
    return (calibrate, quantize) if quantize else None


def _refuse_other_weights(archived: Archived, download: DownloadRecord, recipe: Recipe) -> None:
    before, now = _shards(archived.download), _shards(download)
    if before != now:
        differing = sorted(name for name, _ in before ^ now)
        raise InputError(
            f"the weights of {download.base} are not those that {archived.uri} was made of",
            expected=f"the shards of commit {archived.download.commit}",
            found=f"commit {download.commit} differs in {', '.join(dict.fromkeys(differing))}",
            remedy=REMEDY,
        )
    if archived.convert.repairs:
        raise InputError(
            f"the release {archived.uri} was repaired: some layers are not quantized",
            expected="a release that the gate accepted as it was quantized",
            found=f"{len(archived.convert.kept)} layers that were kept",
            remedy=REMEDY,
        )
    if recipe.shaping != archived.recipe.shaping:
        raise InputError(
            f"the recipe {recipe.name} shapes other weights than those of {archived.uri}",
            expected="the archived release's calibration, tuning, keep and shard size",
            found="others",
            remedy=REMEDY,
        )


def _shards(download: DownloadRecord) -> set[tuple[str, str]]:
    return {(file.path, file.sha256) for file in download.files if is_weights(file)}


class _Bring:
    """Fills a stage's folder from an archive."""

    def __init__(self, uri: str, store: Store, reporter: Reporter) -> None:
        self._uri, self._store, self._reporter = uri, store, reporter

    def __call__(
        self, folder: Path, files: Mapping[str, FileRecord], record: StageRecord
    ) -> dict[str, object]:
        """Bring the files; gives the archived record's own facts, and how long its making took."""
        shutil.rmtree(folder)
        folder.mkdir()
        total, done = max(sum(file.size for file in files.values()), 1), 0
        for path, file in files.items():
            self._reporter.update(done / total, f"bringing {path} from the archive")
            self._store.get_file(f"{self._uri}/{path}", folder / file.path, sha256=file.sha256)
            done += file.size
        common = set(StageRecord.model_fields) - {"seconds"}
        return record.model_dump(exclude=common)
