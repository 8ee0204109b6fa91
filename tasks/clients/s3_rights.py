"""Whether objects can be put below an address on the terms that are set, leaving nothing behind."""

from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from tasks.clients.s3_errors import error_code, translated
from tasks.clients.s3_objects import Address
from tasks.clients.s3_terms import Terms
from tasks.core.errors import StoreError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

NO_LOCK = frozenset({"ObjectLockConfigurationNotFoundError", "NoSuchObjectLockConfiguration"})


def check_rights(client: "S3Client", address: Address, terms: Terms) -> None:
    """Return if the credentials may list and write there.

    An upload in parts is begun and called off: it needs the right to write and makes no object.

    Args:
        client: boto3's.
        address: below which objects are to be put.
        terms: on which they are to be kept.

    Raises:
        StoreError, StoreUnavailable: they may not, or S3 did not answer.
    """
    bucket, key = address.bucket, f"{address.key}/.writable".lstrip("/")
    with translated(f"looking for the bucket of {address}"):
        client.list_objects_v2(Bucket=bucket, Prefix=address.key, MaxKeys=1)
    if terms.lock:
        _check_lock(client, bucket)
    with translated(f"writing below {address}"):
        upload = client.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
        client.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload)


def _check_lock(client: "S3Client", bucket: str) -> None:
    with translated(f"reading the object lock of {bucket}"):
        try:
            found = client.get_object_lock_configuration(Bucket=bucket)
        except ClientError as error:
            if error_code(error) not in NO_LOCK:
                raise
            found = None
    if found is None or found["ObjectLockConfiguration"].get("ObjectLockEnabled") != "Enabled":
        raise StoreError(
            f"the bucket {bucket} cannot lock objects",
            expected="a bucket that was made with object lock, as ROUNDHOUSE_ARCHIVE_LOCK asks for",
            remedy="make such a bucket and name it in ROUNDHOUSE_ARCHIVE, or unset the lock",
        )
