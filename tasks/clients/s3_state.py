"""Small objects that several processes change, each on top of what it has read.

Everything else in S3 is written once (`tasks.clients.s3`). A change here carries `If-Match` with
the entity tag that was read, or `If-None-Match: *` where nothing was there, so that of two
processes that read the same state one changes it and the other learns that it came late.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from tasks.clients.s3 import MISSING, Store
from tasks.clients.s3_errors import error_code, translated
from tasks.clients.s3_objects import Address, Digests

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import GetObjectOutputTypeDef

OVERTAKEN = frozenset({"PreconditionFailed", "ConditionalRequestConflict", *MISSING})
"""Somebody else wrote, is writing, or deleted the object."""


@dataclass(frozen=True)
class Kept:
    """What an object held when it was read; the entity tag is empty where there was none."""

    data: bytes = b""
    etag: str = ""


class StateStore(Store):
    """A store whose objects may change."""

    def look(self, uri: str) -> Kept:
        """What an object holds now.

        Raises:
            StoreError, StoreUnavailable: S3 refused or did not answer.
        """
        held = self._held(uri)
        return held[0] if held else Kept()

    def _held(self, uri: str) -> tuple[Kept, "GetObjectOutputTypeDef"] | None:
        """What an object holds, and all that the server said of it; None where there is none."""
        address = Address.parse(uri)
        with translated(f"reading {address}"):
            try:
                answer = self._client.get_object(Bucket=address.bucket, Key=address.key)
            except ClientError as error:
                if error_code(error) in MISSING:
                    return None
                raise
            return Kept(answer["Body"].read(), answer["ETag"]), answer

    def change(self, uri: str, data: bytes, etag: str) -> Kept | None:
        """Write on top of what was read.

        Args:
            uri: address of the object.
            data: what it shall hold.
            etag: entity tag that was read; empty where there was no object.

        Returns:
            What the object holds now; None where somebody else wrote first.

        Raises:
            StoreError, StoreUnavailable: S3 refused or did not answer.
        """
        address = Address.parse(uri)
        with translated(f"writing {address}"):
            try:
                answer = self._client.put_object(
                    Bucket=address.bucket,
                    Key=address.key,
                    Body=data,
                    ChecksumCRC64NVME=Digests.of([data]).crc64nvme,
                    **({"IfMatch": etag} if etag else {"IfNoneMatch": "*"}),  # type: ignore[arg-type]
                )
            except ClientError as error:
                if error_code(error) not in OVERTAKEN:
                    raise
            else:
                return Kept(data, answer["ETag"])
        # A repeated request whose first answer was lost is refused although it was done.
        there = self.look(uri)
        return there if there.data == data else None
