"""What an archived release says of itself, read from its manifest and its records."""

import hashlib
from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from tasks.clients.s3 import Store
from tasks.core.archived import CHECKPOINT, MANIFEST, Manifest
from tasks.core.errors import InputError, IntegrityError
from tasks.core.manifest import FileRecord
from tasks.core.recipe import Recipe
from tasks.core.records import (
    CalibrateRecord,
    ConvertRecord,
    DownloadRecord,
    PlanRecord,
    QuantizeRecord,
)
from tasks.sign.manifests import check_manifest
from tasks.sign.signer import Verifier

WEIGHTS = (".safetensors", ".safetensors.index.json")
REMEDY = "release without reuse: the weights are then quantized anew"
M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True)
class Archived:
    """The records of an archived release, and where it lies.

    Attributes:
        uri: its address.
        recipe: how it was made.
        plan: of the release.
        download: of its base.
        calibrate: of its calibration set.
        quantize: of its weights.
        convert: of its checkpoint.
    """

    uri: str
    recipe: Recipe
    plan: PlanRecord
    download: DownloadRecord
    calibrate: CalibrateRecord
    quantize: QuantizeRecord
    convert: ConvertRecord

    @classmethod
    def read(cls, uri: str, store: Store, verifier: Verifier | None) -> "Archived":
        """Read the records, each compared with the manifest, and that with its signature.

        Args:
            uri: address of the archive.
            store: where it lies.
            verifier: with the key that signed it; None compares digests alone.

        Raises:
            InputError: there is no whole archive at the address.
            IntegrityError: the manifest or a record cannot be read, was changed, or is not signed.
            StoreError, StoreUnavailable: S3 refused or did not answer.
        """
        reader = _Reader(uri.rstrip("/"), store, verifier)
        return cls(
            reader.uri,
            reader.read("recipe.json", Recipe),
            reader.read("records/plan.json", PlanRecord),
            reader.read("records/download.json", DownloadRecord),
            reader.read("records/calibrate.json", CalibrateRecord),
            reader.read("records/quantize.json", QuantizeRecord),
            reader.read("records/convert.json", ConvertRecord),
        )

    @property
    def samples(self) -> dict[str, FileRecord]:
        """The calibration set: each file by its path in the archive."""
        return {f"calibration/{file.path}": file for file in self.calibrate.files}

    @property
    def weights(self) -> dict[str, FileRecord]:
        """Shards and index of the release, and what the quantizer wrote besides, by path."""
        shards = {f"{CHECKPOINT}{f.path}": f for f in self.convert.files if is_weights(f)}
        released = {file.sha256 for file in self.convert.files}
        own = [f for f in self.quantize.files if not is_weights(f) and f.sha256 not in released]
        return shards | {f"quantizer/{file.path}": file for file in own}


def is_weights(file: FileRecord) -> bool:
    """Whether a file is a shard, or the index of the shards."""
    return file.path.endswith(WEIGHTS)


class _Reader:
    """Reads small files of one archive."""

    def __init__(self, uri: str, store: Store, verifier: Verifier | None) -> None:
        self.uri, self._store = uri, store
        data = store.find(f"{uri}/{MANIFEST}")
        if data is None:
            raise InputError(
                f"there is no whole archive at {uri}",
                expected=f"{MANIFEST}, which is written last",
                remedy=REMEDY,
            )
        manifest = Manifest.parse(data, f"{uri}/{MANIFEST}")
        if verifier is not None:
            check_manifest(manifest, data, verifier, f"{uri}/{MANIFEST}")
        self._listed = {file.path: file.sha256 for file in manifest.files}

    def read(self, path: str, kind: type[M]) -> M:
        address = f"{self.uri}/{path}"
        data = self._store.read(address)
        if hashlib.sha256(data).hexdigest() != self._listed.get(path):
            raise IntegrityError(f"{address} is not the file that {MANIFEST} lists", remedy=REMEDY)
        try:
            return kind.model_validate_json(data)
        except ValidationError as error:
            raise IntegrityError(
                f"{address} cannot be read",
                expected="what this version of Roundhouse archives",
                found=f"{error.error_count()} wrong values",
                remedy=REMEDY,
            ) from None
