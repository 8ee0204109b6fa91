"""The S3 client against a real S3 server."""

import inspect
import pickle
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import boto3.exceptions
import botocore.exceptions
import botocore.parsers
import pytest
import s3transfer.exceptions
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from tasks.clients import s3_errors
from tasks.clients.s3 import Store
from tasks.clients.s3_objects import Address, Digests
from tasks.core.errors import IntegrityError, RoundhouseError, StoreError, StoreUnavailable
from tasks.core.settings import Settings
from tests.conftest import S3Server, free_port

LARGE = 12_000_001
"""Bytes that make three parts, the last one odd."""


@pytest.fixture
def uri() -> str:
    return f"s3://artifacts/{uuid4().hex}"


def a_file(folder: Path, size: int, fill: bytes = b"weights ") -> Path:
    path = folder / f"{size}.bin"
    path.write_bytes((fill * (size // len(fill) + 1))[:size])
    return path


@contextmanager
def counted(store: Store) -> Iterator[list[str]]:
    """Names of the operations that the store sends."""
    sent: list[str] = []

    def note(model: object, **_: object) -> None:
        sent.append(getattr(model, "name", ""))

    store._client.meta.events.register("before-call.s3", note)
    yield sent
    store._client.meta.events.unregister("before-call.s3", note)


@pytest.mark.parametrize("size", [0, 1, 5 << 20, LARGE])
def test_a_file_comes_back_as_it_went(
    s3_server: S3Server, uri: str, tmp_path: Path, size: int
) -> None:
    """Round trip in one piece and in parts; the server's own checksum is the whole file's."""
    store, path, done = s3_server.store(), a_file(tmp_path, size), [0]
    digests = store.put_file(path, f"{uri}/f", advance=done.append)
    assert digests == store.head(f"{uri}/f") == Digests.of_file(path)
    assert sum(done) == size
    store.get_file(f"{uri}/f", tmp_path / "new" / "back", sha256=digests.sha256)
    assert (tmp_path / "new" / "back").read_bytes() == path.read_bytes()
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["back"]


def test_ranges_are_the_slices_of_the_object(s3_server: S3Server, uri: str) -> None:
    """A streamed range equals Python's slice, also beyond one chunk and for nothing."""
    store, data = s3_server.store(), bytes(range(256)) * 40
    store.put_bytes(data, f"{uri}/r")
    for start, stop in [(0, None), (0, 1), (100, 300), (9000, None), (10239, 10240), (5, 5)]:
        assert b"".join(store.stream(f"{uri}/r", start, stop)) == data[start:stop]


def test_an_equal_object_is_left_alone(s3_server: S3Server, uri: str, tmp_path: Path) -> None:
    """A second put of the same bytes asks once and sends nothing."""
    store, path = s3_server.store(), a_file(tmp_path, LARGE)
    store.put_file(path, f"{uri}/f")
    with counted(store) as sent:
        store.put_file(path, f"{uri}/f")
    assert sent == ["HeadObject"]


@pytest.mark.parametrize("size", [9, LARGE])
def test_another_object_is_never_replaced(
    s3_server: S3Server, uri: str, tmp_path: Path, size: int
) -> None:
    """Different bytes under a name that is taken: an error, and the first bytes stay."""
    store, address = s3_server.store(), f"{uri}/f"
    store.put_bytes(b"first", address)
    with pytest.raises(IntegrityError, match="written once"):
        store.put_file(a_file(tmp_path, size), address)
    assert store.read(address) == b"first"


@pytest.mark.parametrize("size", [9, LARGE])
def test_a_race_for_a_name_has_one_winner(
    s3_server: S3Server, uri: str, tmp_path: Path, size: int
) -> None:
    """An object that appears after we looked is refused by the server itself, parts and all."""
    store, client = s3_server.store(), s3_server.client()
    key = f"{Address.parse(uri).key}/f"

    def intrude(**_: object) -> None:
        client.put_object(Bucket="artifacts", Key=key, Body=b"theirs")

    operation = "PutObject" if size == 9 else "CompleteMultipartUpload"
    store._client.meta.events.register_first(f"before-call.s3.{operation}", intrude)
    with pytest.raises(IntegrityError, match="written once"):
        store.put_file(a_file(tmp_path, size), f"{uri}/f")
    assert store.read(f"{uri}/f") == b"theirs"
    assert "Uploads" not in client.list_multipart_uploads(Bucket="artifacts", Prefix=key)


def test_the_server_refuses_bytes_that_changed_on_the_way(
    s3_server: S3Server, uri: str, tmp_path: Path
) -> None:
    """A part that no longer fits the file's checksum never becomes an object."""
    store, path = s3_server.store(), a_file(tmp_path, LARGE)
    was = Digests.of_file(path)
    path.write_bytes(b"x" + path.read_bytes()[1:])
    whole = Address.parse(f"{uri}/f")
    with pytest.raises(ClientError):
        store._multipart.put(
            store._client,
            whole,
            path,
            was.sha256,
            lambda: was,
            {},
            lambda _: None,
        )
    with pytest.raises(ClientError):
        store._put(Address.parse(f"{uri}/g"), b"other", was, {})
    assert list(store.list(uri)) == []


def test_a_file_that_changed_since_its_record_is_not_sent(
    s3_server: S3Server, uri: str, tmp_path: Path
) -> None:
    """The recorded sha256 is compared before there is an object; no part of one is left."""
    store = s3_server.store()
    for size in (9, LARGE):
        with counted(store) as sent, pytest.raises(IntegrityError, match="since it was recorded"):
            store.put_file(a_file(tmp_path, size), f"{uri}/f", sha256="0" * 64)
        assert not {"PutObject", "CompleteMultipartUpload"} & set(sent)
    bucket, prefix = "artifacts", Address.parse(uri).key
    assert "Uploads" not in s3_server.client().list_multipart_uploads(Bucket=bucket, Prefix=prefix)


def test_a_changed_object_is_named_and_leaves_no_file(
    s3_server: S3Server, uri: str, tmp_path: Path
) -> None:
    """Bytes other than the expected sha256: IntegrityError with the address, nothing on disk."""
    store = s3_server.store()
    store.put_bytes(b"good", f"{uri}/f")
    with pytest.raises(IntegrityError, match=re.escape(f"{uri}/f")):
        store.get_file(f"{uri}/f", tmp_path / "f", sha256="0" * 64)
    assert list(tmp_path.iterdir()) == []


def test_listing_goes_beyond_one_page(s3_server: S3Server, uri: str) -> None:
    """Paths are relative, sorted, with sizes; a neighbour with the same beginning is not listed."""
    store = s3_server.store()
    for name in ("b/2", "a", "b/1"):
        store.put_bytes(name.encode(), f"{uri}/{name}")
    store.put_bytes(b"", f"{uri}x/other")
    assert list(store.list(uri)) == [("a", 1), ("b/1", 3), ("b/2", 3)]
    assert store.head(f"{uri}/missing") is None


def test_writable_leaves_nothing(s3_server: S3Server, uri: str) -> None:
    """The proof that one may write makes no object and no unfinished upload."""
    s3_server.store().check_writable(uri)
    client, prefix = s3_server.client(), Address.parse(uri).key
    assert "Contents" not in client.list_objects_v2(Bucket="artifacts", Prefix=prefix)
    assert "Uploads" not in client.list_multipart_uploads(Bucket="artifacts", Prefix=prefix)


def test_uploads_that_nobody_ended_are_cleared(s3_server: S3Server, uri: str) -> None:
    """Of a process that was killed between two parts nothing stays; a neighbour's goes on."""
    client, address = s3_server.client(), Address.parse(uri)
    for key in (f"{address.key}/a", f"{address.key}/b", f"{address.key}-other/a"):
        client.create_multipart_upload(Bucket=address.bucket, Key=key)
    assert s3_server.store().clear_uploads(uri) == 2
    left = client.list_multipart_uploads(Bucket=address.bucket, Prefix=address.key)["Uploads"]
    assert [upload["Key"] for upload in left] == [f"{address.key}-other/a"]


def test_wrong_credentials_and_a_missing_bucket_are_told_apart(s3_server: S3Server) -> None:
    """Each says what to do; neither message holds the secret."""
    wrong = Store.from_settings(s3_server.settings(secret="wrong-secret-canary"))
    with pytest.raises(StoreError, match="AWS_SECRET_ACCESS_KEY") as refused:
        wrong.check_writable("s3://artifacts/releases")
    assert "canary" not in str(refused.value)
    with pytest.raises(StoreError, match="create the bucket"):
        s3_server.store().check_writable("s3://no-such-bucket/releases")
    with pytest.raises(StoreError, match="no such object"):
        s3_server.store().read("s3://artifacts/no-such-object")


def test_a_key_that_may_only_read_is_told_so() -> None:
    """AccessDenied names the right that is missing."""
    denied = ClientError(
        {"Error": {"Code": "AccessDenied"}, "ResponseMetadata": {"HTTPStatusCode": 403}},  # type: ignore[typeddict-item]
        "CreateMultipartUpload",
    )
    assert "grant read, write" in str(s3_errors.translate(denied, "writing"))


def test_a_server_that_is_not_there_is_worth_another_attempt() -> None:
    """A refused connection is transient; an endpoint that is no address is not."""
    keys = {"s3_access_key": "a", "s3_secret_key": "b"}
    nowhere = Settings.model_validate({"s3_endpoint": f"http://127.0.0.1:{free_port()}", **keys})
    with pytest.raises(StoreUnavailable):
        Store.from_settings(nowhere).head("s3://artifacts/any")
    with pytest.raises(StoreError, match="AWS_ENDPOINT_URL_S3"):
        Store.from_settings(Settings.model_validate({"s3_endpoint": "no address", **keys}))


def library_errors() -> list[type[Exception]]:
    modules = (botocore.exceptions, botocore.parsers, boto3.exceptions, s3transfer.exceptions)
    return [
        kind
        for module in modules
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, Exception)
        and not issubclass(kind, Warning)
        and kind.__name__ not in NOT_OURS
        and kind.__module__ == module.__name__
    ]


NOT_OURS = {"InvalidSubscriberMethodError", "TransferNotDoneError"}
"""s3transfer's errors about how its own classes are extended, which nothing here does."""
ON_THE_WAY = re.compile(
    r"HTTPClient|Connection|Timeout|Streaming|SSLError|IncompleteRead|Checksum(?!Config)"
    r"|^Retries|S3UploadFailed|S3DownloadFailed|S3Validation|Capacity|MetadataRetrieval"
    r"|ResponseParser"
)


@pytest.mark.parametrize("kind", library_errors(), ids=lambda kind: kind.__name__)
def test_every_error_of_the_library_becomes_ours(kind: type[Exception]) -> None:
    """No class of botocore, boto3 or s3transfer escapes; only those of the way are transient."""
    error = ClientError({}, "GetObject") if issubclass(kind, ClientError) else kind.__new__(kind)
    with pytest.raises(RoundhouseError) as raised, s3_errors.translated("testing"):
        raise error
    transient = bool(ON_THE_WAY.search(kind.__name__))
    assert type(raised.value) is (StoreUnavailable if transient else StoreError)
    sent = pickle.dumps(raised.value)
    assert str(pickle.loads(sent)) == str(raised.value)  # noqa: S301 - made one line above


@pytest.mark.parametrize(
    ("code", "status", "expected"),
    [
        ("SlowDown", 503, StoreUnavailable),
        ("InternalError", 500, StoreUnavailable),
        ("503", 503, StoreUnavailable),
        ("TooManyRequests", 429, StoreUnavailable),
        ("RequestTimeout", 400, StoreUnavailable),
        ("BadDigest", 400, StoreUnavailable),
        ("InvalidAccessKeyId", 403, StoreError),
        ("NoSuchBucket", 404, StoreError),
        ("EntityTooLarge", 400, StoreError),
    ],
)
def test_what_the_server_answers_is_told_apart(
    code: str, status: int, expected: type[RoundhouseError]
) -> None:
    """Throttling, server errors and broken transfers are transient; refusals are not."""
    answer = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    error = ClientError(answer, "PutObject")  # type: ignore[arg-type]
    assert type(s3_errors.translate(error, "writing")) is expected


@pytest.mark.parametrize("text", ["", "bucket/key", "http://bucket/key", "s3:///key", "s3:/b/k"])
def test_what_is_no_address_is_refused(text: str) -> None:
    """Only s3://bucket/… is an address."""
    with pytest.raises(StoreError, match="s3://bucket/prefix"):
        Address.parse(text)


@given(st.lists(st.binary(max_size=40), max_size=6))
def test_digests_do_not_depend_on_how_bytes_are_cut(pieces: list[bytes]) -> None:
    """The digests of pieces are those of the whole."""
    assert Digests.of(pieces) == Digests.of([b"".join(pieces)])


def test_the_checksum_is_crc64nvme_as_published() -> None:
    """Check value of CRC-64/NVME in the catalogue of CRC algorithms: 0xAE8B14860A799888."""
    assert Digests.of([b"123456789"]).crc64nvme == "rosUhgp5mIg="
