"""Retention of shared workspaces on a real S3 server; days are seconds here."""

import time
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest

from tasks.clients.shared_prune import prune_shared
from tests.clients.machines import Machine, objects
from tests.conftest import S3Server

OLD = 3.0


@pytest.fixture
def uri() -> str:
    return f"s3://artifacts/shared/{uuid4().hex}"


@pytest.fixture
def machine(s3_server: S3Server, uri: str, tmp_path: Path) -> Callable[[str], Machine]:
    """Makes a machine by name."""
    return lambda name: Machine(tmp_path / name, s3_server.settings(), uri)


def test_old_workspaces_and_what_only_they_held_go(
    machine: Callable[[str], Machine], uri: str
) -> None:
    """Files that a newer release shares stay and are whole; a dry run tells and removes nothing."""
    one, two = machine("one"), machine("two")
    one.run({"shared": b"weights", "own": b"of the old"}, "old")
    time.sleep(OLD + 1.5)
    new = one.run({"shared": b"weights", "own": b"of the new"}, "new")
    before = sorted(entry.path for entry in one.store.entries(uri))
    told = prune_shared(one.store, uri, OLD, dry_run=True)
    assert sorted(entry.path for entry in one.store.entries(uri)) == before
    gone = prune_shared(one.store, uri, OLD)
    assert [each.where for each in gone] == [each.where for each in told]
    assert [each.where for each in gone] == [f"{uri}/releases/old", f"{uri}/objects"]
    assert gone[1].bytes == len(b"of the old")
    assert two.here(new, "new") == {"shared": b"weights", "own": b"of the new"}
    two.run({"shared": b"weights"}, "old")
    assert two.calls == 1


def test_a_workspace_at_work_stays(machine: Callable[[str], Machine], uri: str) -> None:
    """While a machine holds a lease, what it has there is kept, however old."""
    one, two = machine("one"), machine("two")
    made = one.run({"f": b"old"}, "old")

    def slowly(folder: Path) -> None:
        time.sleep(OLD + 1.5)
        assert prune_shared(two.store, uri, OLD) == []
        (folder / "f").write_bytes(b"new")

    one.run(slowly, "old", {"other": "inputs"})
    assert two.here(made, "old") == {"f": b"old"}


def test_use_keeps_a_workspace(machine: Callable[[str], Machine], uri: str) -> None:
    """A machine that only takes what others made marks it as used, at most once an hour."""
    one, two = machine("one"), machine("two")
    one.run({"f": b"old"}, "old")
    mark = f"{uri}/releases/old/used"
    one.store.delete(mark)
    time.sleep(OLD + 1.5)
    two.run({}, "old")
    first = two.store.look(mark)
    two.run({}, "old")
    assert two.store.look(mark) == first
    assert prune_shared(two.store, uri, OLD) == []


def test_parts_of_a_dead_upload_go(
    machine: Callable[[str], Machine], uri: str, s3_server: S3Server
) -> None:
    """An upload in parts whose writer was killed is called off when it is old, not before."""
    one = machine("one")
    client = s3_server.client()
    key = f"{uri.removeprefix('s3://artifacts/')}/objects/aa/bb"
    client.create_multipart_upload(Bucket="artifacts", Key=key)
    prune_shared(one.store, uri, 3600)
    assert len(list(one.store.uploads(uri))) == 1
    time.sleep(1.5)
    prune_shared(one.store, uri, 0.5)
    assert not list(one.store.uploads(uri))


def test_an_object_without_a_record_waits(machine: Callable[[str], Machine], uri: str) -> None:
    """Files whose record is about to be written are young, and stay."""
    one = machine("one")
    one.store.put_bytes(b"x", f"{uri}/objects/aa/{'a' * 64}")
    one.run({"f": b"y"})
    assert prune_shared(one.store, uri, 60) == []
    assert len(objects(one.store, uri)) == 2
