"""Upload of a large file in parts that either becomes the whole object or nothing.

S3's transfer library takes no precondition for an upload, so that the parts are sent here. Each
part carries its own CRC; the last call carries the CRC of the whole file and `If-None-Match: *`.
"""

import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from tasks.clients.s3_objects import Address, Digests

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef


@dataclass(frozen=True)
class Multipart:
    """How large files are cut.

    Attributes:
        part_bytes: of all parts but the last; S3 wants at least 5 MiB and at most 10,000 parts.
        threads: parts on the way at once; each holds one part in memory.
    """

    part_bytes: int = 32 << 20
    threads: int = 4

    def put(
        self,
        client: "S3Client",
        address: Address,
        path: Path,
        sha256: str,
        digests: Callable[[], Digests],
        terms: dict[str, Any],
        advance: Callable[[int], None],
    ) -> None:
        """Send a file, unless an object has that name already.

        Args:
            client: boto3's.
            address: of the object.
            path: the file.
            sha256: of the file, as it is recorded.
            digests: gives those of the file; asked when its parts have arrived.
            terms: arguments of the call that begins the upload, beyond those of every one.
            advance: called with the bytes of each part that arrived.

        Raises:
            ClientError: S3's own; nothing is left of the parts.
            IntegrityError: the file is not what was recorded; nothing is left either.
        """
        size = path.stat().st_size
        bucket, key = address.bucket, address.key
        upload = client.create_multipart_upload(
            Bucket=bucket,
            Key=key,
            Metadata={"sha256": sha256},
            ChecksumAlgorithm="CRC64NVME",
            ChecksumType="FULL_OBJECT",
            **terms,
        )["UploadId"]

        def send(number: int) -> "CompletedPartTypeDef":
            data = _slice(path, (number - 1) * self.part_bytes, self.part_bytes)
            sent = client.upload_part(
                Bucket=bucket,
                Key=key,
                UploadId=upload,
                PartNumber=number,
                Body=data,
                ChecksumAlgorithm="CRC64NVME",
            )
            return {
                "PartNumber": number,
                "ETag": sent["ETag"],
                "ChecksumCRC64NVME": sent["ChecksumCRC64NVME"],
            }

        try:
            client.complete_multipart_upload(
                Bucket=bucket,
                Key=key,
                UploadId=upload,
                MultipartUpload={"Parts": self._parts(size, send, advance)},
                ChecksumCRC64NVME=digests().crc64nvme,
                ChecksumType="FULL_OBJECT",
                IfNoneMatch="*",
            )
        except BaseException:
            with contextlib.suppress(ClientError, BotoCoreError):
                client.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload)
            raise

    def _parts(
        self,
        size: int,
        send: Callable[[int], "CompletedPartTypeDef"],
        advance: Callable[[int], None],
    ) -> "list[CompletedPartTypeDef]":
        """Send all parts; the first failure calls off those that have not begun."""
        starts = range(0, size, self.part_bytes)
        parts = []
        with ThreadPoolExecutor(self.threads) as pool:
            try:
                for start, part in zip(
                    starts, pool.map(send, range(1, len(starts) + 1)), strict=True
                ):
                    parts.append(part)
                    advance(min(self.part_bytes, size - start))
            finally:
                pool.shutdown(cancel_futures=True)
        return parts


def clear_uploads(client: "S3Client", address: Address) -> int:
    """End all uploads below an address; tells how many there were.

    Args:
        client: boto3's.
        address: a folder; the uploads of the objects in it are meant.

    Raises:
        ClientError: S3's own.
    """
    prefix = f"{address.key}/"
    pages = client.get_paginator("list_multipart_uploads").paginate(
        Bucket=address.bucket, Prefix=prefix
    )
    begun = [upload for page in pages for upload in page.get("Uploads", [])]
    for upload in begun:
        with contextlib.suppress(client.exceptions.NoSuchUpload):
            client.abort_multipart_upload(
                Bucket=address.bucket, Key=upload["Key"], UploadId=upload["UploadId"]
            )
    return len(begun)


def _slice(path: Path, start: int, length: int) -> bytes:
    with path.open("rb") as stream:
        stream.seek(start)
        return stream.read(length)
