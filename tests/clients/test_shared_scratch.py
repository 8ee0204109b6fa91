"""What a killed stage leaves is found by another machine, through a real S3 server."""

import signal
import subprocess
import sys
import time
from pathlib import Path
from uuid import uuid4

import pytest

from tasks.clients.shared_scratch import Scratch
from tasks.clients.shared_store import SharedStore
from tasks.core.manifest import StageRecord
from tests.clients.machines import INPUTS, STAGE, Machine, Told, variables
from tests.conftest import S3Server

BLOCKS = 12
CHILD = """
import sys, time
from pathlib import Path
from tasks.core.settings import Settings
from tests.clients.machines import Machine
from tests.clients.test_shared_scratch import tune

tune(Machine(Path(sys.argv[1]), Settings(), sys.argv[2]), pause=0.5)
"""


def tune(machine: Machine, pause: float = 0.0) -> tuple[StageRecord, list[str]]:
    """Make a stage of blocks, each kept in scratch when it is done; the blocks that were tuned."""
    workspace, tuned = machine.workspace(), list[str]()

    def make(folder: Path) -> dict[str, object]:
        scratch = workspace.scratch(STAGE) / "tuned"
        with workspace.carried(STAGE, INPUTS, scratch, "*.safetensors"):
            for number in range(BLOCKS):
                block = scratch / f"{number:02}.safetensors"
                if not block.exists():
                    tuned.append(block.name)
                    time.sleep(pause)
                    fresh = block.with_suffix(".new")
                    fresh.write_bytes(bytes([number]) * 1000)
                    fresh.replace(block)
            for block in scratch.glob("*.safetensors"):
                (folder / block.name).write_bytes(block.read_bytes())
        return {}

    return workspace.run(STAGE, StageRecord, INPUTS, make), tuned


def test_another_machine_goes_on_where_one_was_killed(s3_server: S3Server, tmp_path: Path) -> None:
    """After SIGKILL the blocks that were sent are not made again, and none is left at the end."""
    uri = f"s3://artifacts/shared/{uuid4().hex}"
    one, two = (Machine(tmp_path / name, s3_server.settings(), uri) for name in ("one", "two"))
    command = [sys.executable, "-c", CHILD, str(one.home), uri]
    with subprocess.Popen(command, env=variables(s3_server)) as child:
        while not _carried(one.store, uri):
            assert child.poll() is None
            time.sleep(0.1)
        child.send_signal(signal.SIGKILL)
    sent = _carried(one.store, uri)
    assert 0 < len(sent) < BLOCKS
    record, tuned = tune(two)
    assert set(sent) | set(tuned) == {f"{n:02}.safetensors" for n in range(BLOCKS)}
    assert set(tuned).isdisjoint(sent)
    assert not _carried(two.store, uri)
    assert one.here(record) == {f"{n:02}.safetensors": bytes([n]) * 1000 for n in range(BLOCKS)}


def _carried(store: SharedStore, uri: str) -> list[str]:
    return [Path(e.path).name for e in store.entries(f"{uri}/releases") if ".scratch/" in e.path]


@pytest.fixture
def scratch(s3_server: S3Server) -> Scratch:
    store = SharedStore.from_settings(s3_server.settings())
    return Scratch(store, f"s3://artifacts/shared/{uuid4().hex}.scratch", Told(), sweep=0.05)


def test_the_newest_of_a_name_counts(scratch: Scratch, tmp_path: Path) -> None:
    """A file that was made again with other bytes is brought as it was made last."""
    first, second = tmp_path / "first", tmp_path / "second"
    with scratch.carried(first, "*.st"):
        (first / "a.st").write_bytes(b"old")
        time.sleep(1.2)  # S3 tells whole seconds
        (first / "a.st").write_bytes(b"newer")
        (first / "a.new").write_bytes(b"half written")
    with scratch.carried(second, "*.st"):
        assert {p.name: p.read_bytes() for p in second.iterdir()} == {"a.st": b"newer"}


def test_a_damaged_file_is_passed_over(
    scratch: Scratch, s3_server: S3Server, tmp_path: Path
) -> None:
    """Bytes that are not what their name says are not brought; the block is made again."""
    first, second = tmp_path / "first", tmp_path / "second"
    with scratch.carried(first, "*.st"):
        (first / "a.st").write_bytes(b"right")
    (entry,) = scratch._store.entries(scratch._uri)
    key = f"{scratch._uri}/{entry.path}".removeprefix("s3://artifacts/")
    s3_server.client().put_object(Bucket="artifacts", Key=key, Body=b"wrong")
    with scratch.carried(second, "*.st"):
        assert list(second.iterdir()) == []


def test_what_lies_here_is_kept(scratch: Scratch, tmp_path: Path) -> None:
    """A file of this machine's own earlier attempt is not overwritten by another's."""
    first, second = tmp_path / "first", tmp_path / "second"
    with scratch.carried(first, "*.st"):
        (first / "a.st").write_bytes(b"theirs")
    second.mkdir()
    (second / "a.st").write_bytes(b"ours")
    with scratch.carried(second, "*.st"):
        assert (second / "a.st").read_bytes() == b"ours"
    assert len(list(scratch._store.entries(scratch._uri))) == 2
    scratch.drop()
    assert not list(scratch._store.entries(scratch._uri))
