"""Objects that several processes change, on a real S3 server."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from uuid import uuid4

import pytest

from tasks.clients.s3_state import Kept, StateStore
from tests.conftest import S3Server


@pytest.fixture
def store(s3_server: S3Server) -> StateStore:
    return StateStore.from_settings(s3_server.settings())


@pytest.fixture
def uri() -> str:
    return f"s3://artifacts/state/{uuid4().hex}.json"


def test_a_change_is_on_top_of_what_was_read(store: StateStore, uri: str) -> None:
    """Made, changed, read back; a change of what was read before that is refused."""
    assert store.look(uri) == Kept()
    first = store.change(uri, b"one", "")
    assert first
    second = store.change(uri, b"two", first.etag)
    assert store.look(uri) == second
    assert store.change(uri, b"three", first.etag) is None
    assert store.change(uri, b"four", "") is None
    assert store.look(uri) == second


def test_of_many_writers_one_wins(store: StateStore, uri: str) -> None:
    """Sixteen that read the same state, eight rounds: one of them changes it in each."""
    etag = ""
    for number in range(8):
        data = [f"{number} {writer}".encode() for writer in range(16)]
        with ThreadPoolExecutor(16) as pool:
            made = list(pool.map(partial(store.change, uri, etag=etag), data))
        (won,) = [kept for kept in made if kept]
        assert store.look(uri) == won
        etag = won.etag


def test_a_write_whose_answer_was_lost_is_known_as_done(store: StateStore, uri: str) -> None:
    """The same write again, as a client repeats it, is refused by S3 and taken for done by us."""
    first = store.change(uri, b"one", "")
    assert first
    assert store.change(uri, b"one", "") == first


def test_what_was_deleted_is_not_brought_back(
    store: StateStore, uri: str, s3_server: S3Server
) -> None:
    """A change of a state that somebody deleted is refused."""
    first = store.change(uri, b"one", "")
    assert first
    key = uri.removeprefix("s3://artifacts/")
    s3_server.client().delete_object(Bucket="artifacts", Key=key)
    assert store.change(uri, b"two", first.etag) is None
    assert store.look(uri) == Kept()
