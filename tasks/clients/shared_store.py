"""S3 for the shared workspace: what `Store` and `StateStore` do, and ages, ranges and deletion.

Ages are told by the server alone (`Date` less `Last-Modified`), so that no two machines' clocks
need to agree.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

from botocore.exceptions import ClientError

from tasks.clients.s3_errors import error_code, translated
from tasks.clients.s3_objects import Address
from tasks.clients.s3_state import OVERTAKEN, Kept, StateStore
from tasks.core.errors import StoreError

CHUNK = 1 << 20
DELETED_AT_ONCE = 1000


class Aged(NamedTuple):
    """What an object held when it was read, and how many seconds ago it was written."""

    kept: Kept
    age: float


class Entry(NamedTuple):
    """An object in a listing: path below what was listed, bytes, seconds since it was written."""

    path: str
    size: int
    age: float


class Upload(NamedTuple):
    """An upload in parts that was neither finished nor called off."""

    address: Address
    id: str
    age: float


class SharedStore(StateStore):
    """A store whose objects may change and go."""

    def look_aged(self, uri: str) -> Aged | None:
        """What a small object holds now, or None where there is none.

        Raises:
            StoreError, StoreUnavailable: S3 refused or did not answer.
        """
        held = self._held(uri)
        return Aged(held[0], _age(held[1]["LastModified"], held[1])) if held else None

    def pieces(self, uri: str, start: int) -> Iterator[bytes]:
        """The bytes of an object from `start` on, unverified: whoever reads them has a digest.

        Raises:
            StoreError: there is no such object, or S3 refused.
            StoreUnavailable: S3 did not answer.
        """
        address = Address.parse(uri)
        with translated(f"reading {address}"):
            answer = self._client.get_object(
                Bucket=address.bucket, Key=address.key, Range=f"bytes={start}-"
            )
            yield from answer["Body"].iter_chunks(CHUNK)

    def entries(self, uri: str) -> Iterator[Entry]:
        """Every object below an address."""
        address = Address.parse(uri)
        prefix = f"{address.key}/"
        with translated(f"listing {address}"):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=address.bucket, Prefix=prefix
            )
            for page in pages:
                for each in page.get("Contents", []):
                    path = each["Key"].removeprefix(prefix)
                    yield Entry(path, each["Size"], _age(each["LastModified"], page))

    def delete(self, uri: str, etag: str = "") -> None:
        """Remove an object; one that is gone already, or another than `etag` names, is left alone.

        Raises:
            StoreError, StoreUnavailable: S3 refused or did not answer.
        """
        address = Address.parse(uri)
        with translated(f"deleting {address}"):
            try:
                self._client.delete_object(
                    Bucket=address.bucket,
                    Key=address.key,
                    **({"IfMatch": etag} if etag else {}),  # type: ignore[arg-type]
                )
            except ClientError as error:
                if error_code(error) not in OVERTAKEN:
                    raise

    def delete_below(self, uri: str, paths: Iterable[str]) -> None:
        """Remove many objects below an address.

        Raises:
            StoreError, StoreUnavailable: S3 refused or did not answer.
        """
        address, gone = Address.parse(uri), list(paths)
        for start in range(0, len(gone), DELETED_AT_ONCE):
            keys = [f"{address.key}/{path}" for path in gone[start : start + DELETED_AT_ONCE]]
            with translated(f"deleting below {address}"):
                answer = self._client.delete_objects(
                    Bucket=address.bucket,
                    Delete={"Objects": [{"Key": key} for key in keys], "Quiet": True},
                )
            if errors := answer.get("Errors"):
                raise StoreError(
                    f"objects below {address} cannot be deleted",
                    found=f"{len(errors)} of {len(keys)}, such as {errors[0]}",
                    remedy="grant delete on the prefix",
                )

    def uploads(self, uri: str) -> Iterator[Upload]:
        """Uploads in parts below an address whose writer died, or is still at it."""
        address = Address.parse(uri)
        with translated(f"listing uploads below {address}"):
            pages = self._client.get_paginator("list_multipart_uploads").paginate(
                Bucket=address.bucket, Prefix=f"{address.key}/"
            )
            for page in pages:
                for each in page.get("Uploads", []):
                    key = Address(address.bucket, each["Key"])
                    yield Upload(key, each["UploadId"], _age(each["Initiated"], page))

    def call_off(self, upload: Upload) -> None:
        """Remove the parts of an upload."""
        address = upload.address
        with translated(f"calling off the upload of {address}"):
            self._client.abort_multipart_upload(
                Bucket=address.bucket, Key=address.key, UploadId=upload.id
            )


def _age(written: datetime, answer: Any) -> float:
    now = parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
    return (now - written).total_seconds()
