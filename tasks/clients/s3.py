"""S3, the archive's store: every object written once, checked by the server and by us.

Each put carries the CRC-64/NVME of the whole object, which the server computes too before it
accepts it, and `If-None-Match: *`, so that no object is ever replaced. The sha256 travels in the
object's metadata. boto3's errors are raised as ours (`tasks.clients.s3_errors`).
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import ClientError

from tasks.clients.s3_errors import error_code, translated
from tasks.clients.s3_multipart import Multipart, clear_uploads
from tasks.clients.s3_objects import CHUNK, Address, Digests
from tasks.clients.s3_rights import check_rights
from tasks.clients.s3_terms import Terms
from tasks.core.errors import IntegrityError, StoreError
from tasks.core.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import ObjectTypeDef

WRITTEN_MEANWHILE = frozenset({"PreconditionFailed", "NoSuchUpload"})
"""A racing writer, or our own earlier attempt whose answer was lost, has put the object."""
MISSING = frozenset({"NoSuchKey", "404"})


def _ignore(_: int) -> None:
    """Progress that nobody follows."""


def _as_recorded(digests: Digests, path: Path, sha256: str) -> Digests:
    """The digests of a file, if they are what was recorded."""
    if sha256 and digests.sha256 != sha256:
        raise IntegrityError(
            f"{path} changed since it was recorded",
            expected=f"sha256 {sha256}",
            found=digests.sha256,
        )
    return digests


class Store:
    """Objects by address (`s3://bucket/key`).

    Args:
        client: boto3's S3 client.
        multipart: how large files are cut.
        terms: on what terms objects are kept.
    """

    def __init__(
        self, client: "S3Client", multipart: Multipart | None = None, terms: Terms | None = None
    ) -> None:
        self._client = client
        self._multipart = multipart or Multipart()
        self._terms = terms or Terms()

    @classmethod
    def from_settings(cls, settings: Settings, multipart: Multipart | None = None) -> Self:
        """The store that the environment names; opens no connection.

        Raises:
            StoreError: the settings do not make a client (say, a malformed endpoint).
        """
        config = Config(
            retries={"mode": "standard", "total_max_attempts": 5},
            s3={"addressing_style": "path" if settings.s3_endpoint else "auto"},
            request_checksum_calculation="when_supported",
            response_checksum_validation="when_supported",
            max_pool_connections=16,
            connect_timeout=10,
            user_agent_extra="roundhouse",
        )
        try:
            with translated("opening the S3 client"):
                client = boto3.client(
                    "s3",
                    endpoint_url=settings.s3_endpoint or None,
                    region_name=settings.s3_region,
                    aws_access_key_id=settings.s3_access_key.get_secret_value() or None,
                    aws_secret_access_key=settings.s3_secret_key.get_secret_value() or None,
                    config=config,
                )
        except ValueError as error:
            raise StoreError(
                "the S3 endpoint is no address",
                expected="http://host:port or https://host",
                found=str(error),
                remedy="mend AWS_ENDPOINT_URL_S3",
            ) from None
        parts = multipart or Multipart(part_bytes=settings.s3_part_bytes)
        return cls(client, parts, Terms.from_settings(settings))

    def put_file(
        self,
        path: Path,
        uri: str,
        *,
        sha256: str = "",
        cold: bool = False,
        advance: Callable[[int], None] = _ignore,
    ) -> Digests:
        """Write a file once; an equal object that is there already is left alone.

        Args:
            path: the file.
            uri: address of the object.
            sha256: what the file is recorded to be; empty takes it as it is.
            cold: whether it may lie where it cannot be read at once (the terms' storage class).
            advance: called with bytes done.

        Raises:
            IntegrityError: the file is not what was recorded, or another object has that name.
            StoreError, StoreUnavailable: S3 refused or did not answer.
        """
        address, terms = Address.parse(uri), self._terms.arguments(cold=cold)
        with ThreadPoolExecutor(1) as pool:  # reads the file while its parts are on the way
            reading = pool.submit(Digests.of_file, path)

            def digests() -> Digests:
                return _as_recorded(reading.result(), path, sha256)

            def write() -> None:
                if path.stat().st_size <= self._multipart.part_bytes:
                    self._put(address, path.read_bytes(), digests(), terms)
                    advance(digests().size)
                else:
                    known = sha256 or digests().sha256
                    self._multipart.put(self._client, address, path, known, digests, terms, advance)

            if not self._once(address, digests, write):
                advance(digests().size)
            return digests()

    def put_bytes(self, data: bytes, uri: str) -> Digests:
        """Write a small object once; an equal one that is there already is left alone.

        Raises:
            IntegrityError: another object has that name.
            StoreError, StoreUnavailable: S3 refused or did not answer.
        """
        address, digests = Address.parse(uri), Digests.of([data])
        terms = self._terms.arguments(cold=False)
        self._once(address, lambda: digests, lambda: self._put(address, data, digests, terms))
        return digests

    def _put(self, address: Address, data: bytes, digests: Digests, terms: dict[str, Any]) -> None:
        self._client.put_object(
            Bucket=address.bucket,
            Key=address.key,
            Body=data,
            Metadata={"sha256": digests.sha256},
            ChecksumCRC64NVME=digests.crc64nvme,
            IfNoneMatch="*",
            **terms,
        )

    def _once(
        self, address: Address, digests: Callable[[], Digests], write: Callable[[], None]
    ) -> bool:
        """Write unless it is there; tells whether it was not."""
        before = there = self.head(str(address))
        if there is None:
            with translated(f"writing {address}"):
                try:
                    write()
                except ClientError as error:
                    if error_code(error) not in WRITTEN_MEANWHILE:
                        raise
            there = self.head(str(address))
        if there != digests():
            raise IntegrityError(
                f"{address} holds other bytes; objects are written once and never replaced",
                expected=f"{digests()}",
                found=f"{there or 'no object'}",
                remedy="if what is there is unwanted, delete it by hand and run again",
            )
        return before is None

    def head(self, uri: str) -> Digests | None:
        """What the server says of an object without sending it, or None where there is none."""
        address = Address.parse(uri)
        with translated(f"looking at {address}"):
            try:
                answer = self._client.head_object(
                    Bucket=address.bucket, Key=address.key, ChecksumMode="ENABLED"
                )
            except ClientError as error:
                if error_code(error) in MISSING:
                    return None
                raise
        return Digests(
            answer["ContentLength"],
            answer["Metadata"].get("sha256", ""),
            answer.get("ChecksumCRC64NVME", ""),
        )

    def list(self, uri: str) -> Iterator[tuple[str, int]]:
        """Path below `uri` and size in bytes of each object, in the order of the paths."""
        for path, entry in self._entries(uri):
            yield path, entry["Size"]

    def written(self, uri: str) -> Iterator[tuple[str, datetime]]:
        """Path below `uri` of each object, and when S3 took it."""
        for path, entry in self._entries(uri):
            yield path, entry["LastModified"]

    def _entries(self, uri: str) -> "Iterator[tuple[str, ObjectTypeDef]]":
        address = Address.parse(uri)
        prefix = f"{address.key}/" if address.key else ""
        with translated(f"listing {address}"):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=address.bucket, Prefix=prefix
            )
            for page in pages:
                for entry in page.get("Contents", []):
                    yield entry["Key"].removeprefix(prefix), entry

    def stream(self, uri: str, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """The bytes of an object from `start` up to `stop`, in pieces.

        A range is not verified: no digest covers it. The whole is, by the server's checksum.
        """
        address = Address.parse(uri)
        if stop is not None and stop <= start:
            return
        ranged = {"Range": f"bytes={start}-{'' if stop is None else stop - 1}"}
        with translated(f"reading {address}"):
            answer = self._client.get_object(
                Bucket=address.bucket,
                Key=address.key,
                ChecksumMode="ENABLED",
                **(ranged if start or stop is not None else {}),  # type: ignore[arg-type]
            )
            yield from answer["Body"].iter_chunks(CHUNK)

    def read(self, uri: str) -> bytes:
        """A small object, verified by the server's checksum."""
        return b"".join(self.stream(uri))

    def find(self, uri: str) -> bytes | None:
        """A small object, verified by the server's checksum, or None where there is none."""
        address = Address.parse(uri)
        with translated(f"reading {address}"):
            try:
                answer = self._client.get_object(
                    Bucket=address.bucket, Key=address.key, ChecksumMode="ENABLED"
                )
            except ClientError as error:
                if error_code(error) in MISSING:
                    return None
                raise
            return answer["Body"].read()

    def get_file(
        self,
        uri: str,
        path: Path,
        *,
        sha256: str,
        advance: Callable[[int], None] = _ignore,
    ) -> None:
        """Bring an object into a file, whole and verified or not at all.

        Args:
            uri: address of the object.
            path: the file; its folder is made.
            sha256: what the object must be.
            advance: called with bytes done, from several threads.

        Raises:
            IntegrityError: the object has other bytes; names it.
            StoreError, StoreUnavailable: there is none, S3 refused or did not answer.
        """
        address = Address.parse(uri)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"{path.name}.partial")
        with translated(f"reading {address}"), partial.open("wb") as stream:
            self._client.download_fileobj(
                address.bucket,
                address.key,
                stream,
                Callback=advance,
                Config=TransferConfig(max_concurrency=self._multipart.threads),
            )
        found = Digests.of_file(partial).sha256
        if found != sha256:
            partial.unlink()
            raise IntegrityError(
                f"{address} has other bytes than recorded",
                expected=f"sha256 {sha256}",
                found=found,
                remedy="the object was changed or is damaged; take it from another copy",
            )
        partial.replace(path)

    def clear_uploads(self, uri: str) -> int:
        """End uploads in parts below an address that nobody ended: of processes that were killed.

        Whoever still sends one finds it gone; for an object that is there already that is fine.

        Returns:
            How many there were.
        """
        address = Address.parse(uri)
        with translated(f"ending uploads below {address}"):
            return clear_uploads(self._client, address)

    def check_writable(self, uri: str) -> None:
        """Prove, leaving nothing behind, that objects can be put below an address.

        An upload in parts is begun and called off: it needs the right to write and makes no object.

        Raises:
            StoreError: the bucket is missing or cannot lock objects as asked, the credentials are
                wrong, or they may not write: says which, and what to do.
            StoreUnavailable: S3 did not answer.
        """
        check_rights(self._client, Address.parse(uri), self._terms)
