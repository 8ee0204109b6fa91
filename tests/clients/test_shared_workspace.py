"""Stages shared through a real S3 server by machines that have nothing else in common."""

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.clients.shared_lease import Pace
from tasks.clients.shared_objects import object_path
from tasks.core.errors import IntegrityError, ResourceError
from tasks.core.manifest import FileRecord, StageRecord
from tasks.core.workspace_shared import Slot
from tests.clients.machines import INPUTS, PART, STAGE, Machine, objects, variables
from tests.conftest import S3Server

FILES = {"weights.safetensors": b"weights", "more/config.json": b"{}", "empty": b""}
NO_LEASES = Pace(holds=-1.0, renew=60.0, poll=0.05)
"""A lease never holds, so that every machine makes the stage."""
Machines = Callable[..., Machine]


@pytest.fixture
def uri() -> str:
    return f"s3://artifacts/shared/{uuid4().hex}"


@pytest.fixture
def machine(s3_server: S3Server, uri: str, tmp_path: Path) -> Machines:
    """Makes a machine by name."""

    def build(name: str, pace: Pace | None = None) -> Machine:
        given_pace = {"pace": pace} if pace else {}
        return Machine(tmp_path / name, s3_server.settings(), uri, **given_pace)

    return build


def _name(data: bytes) -> str:
    return object_path(sha256(data).hexdigest())


def test_another_machine_takes_what_one_made(machine: Machines) -> None:
    """It is not made again, its files come when they are asked for, and then lie there."""
    one, two = machine("one"), machine("two")
    made, taken = one.run(FILES), two.run(FILES)
    assert (one.calls, two.calls) == (1, 0)
    assert taken.digest == made.digest
    assert taken.path.is_relative_to(two.home)
    assert not taken.path.exists()
    assert two.here(taken) == FILES
    assert two.workspace().finished(STAGE, StageRecord) == taken
    assert two.run(FILES) == taken


names = st.from_regex(r"[a-z]{1,8}(/[a-z]{1,8})?\.[a-z]{1,3}", fullmatch=True)
contents = st.one_of(
    st.binary(max_size=40),
    st.builds(lambda fill, size: bytes([fill]) * size, st.integers(0, 1), st.just(PART + 1)),
)


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(files=st.dictionaries(names, contents, max_size=5))
def test_any_files_come_back_as_they_were_made(
    s3_server: S3Server, tmp_path: Path, files: dict[str, bytes]
) -> None:
    """Whatever the names, sizes and repetitions: the other machine has the same folder."""
    uri, root = f"s3://artifacts/shared/{uuid4().hex}", tmp_path / uuid4().hex
    one, two = (Machine(root / name, s3_server.settings(), uri) for name in ("one", "two"))
    made = one.run(files)
    assert two.here(made) == files
    assert len(objects(one.store, uri)) == len(set(files.values()))


def test_equal_files_of_releases_are_one_object(machine: Machines, uri: str) -> None:
    """A second release with the same weights sends only what it has of its own."""
    one = machine("one")
    one.run({"weights": b"w" * (PART + 1), "card": b"first"}, "first")
    sent: list[str] = []
    events = one.store._client.meta.events
    events.register(
        "before-call.s3", lambda model, params, **_: sent.append(model.name + params["url_path"])
    )
    one.run({"weights": b"w" * (PART + 1), "card": b"second"}, "second")
    puts = [call for call in sent if call.startswith("PutObject") and "/objects/" in call]
    assert len(puts) == 1
    assert not [call for call in sent if call.startswith("CreateMultipart")]
    assert len(objects(one.store, uri)) == 3


def test_other_inputs_have_a_record_of_their_own(machine: Machines) -> None:
    """Machines that make a stage from other inputs do not take each other's, and each has its."""
    one, two = machine("one"), machine("two")
    first = one.run({"f": b"first"})
    second = two.run({"f": b"second"}, inputs={"base": "def"})
    assert one.here(one.run({})) == {"f": b"first"}
    assert one.here(second) == {"f": b"second"}
    assert one.here(first) == {"f": b"first"}
    assert (one.calls, two.calls) == (1, 1)


def test_two_machines_at_once_make_it_once(machine: Machines) -> None:
    """The second waits while the first makes it, says so, and takes the first one's."""
    one, two = machine("one"), machine("two")

    def slowly(folder: Path) -> None:
        time.sleep(5)  # longer than a lease holds that is not renewed
        (folder / "f").write_bytes(b"slow")

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(one.run, slowly)
        time.sleep(0.5)
        second = pool.submit(two.run, slowly)
        assert first.result().digest == second.result().digest
    assert (one.calls, two.calls) == (1, 0)
    assert any("waiting for it" in note for note in two.told.notes)
    assert two.here(second.result()) == {"f": b"slow"}


def test_of_two_makings_one_holds(machine: Machines, uri: str) -> None:
    """Without leases both make it, with other bytes; the loser takes the winner's, verified."""
    one, two = machine("one", NO_LEASES), machine("two", NO_LEASES)

    def maker(name: str) -> Callable[[Path], None]:
        def make(folder: Path) -> None:
            time.sleep(1)
            (folder / "who").write_text(name)
            (folder / f"by-{name}").write_text("")

        return make

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.submit(one.run, maker("one")), pool.submit(two.run, maker("two"))
        records = [first.result(), second.result()]
    assert (one.calls, two.calls) == (1, 1)
    assert records[0].digest == records[1].digest
    for record in records:  # nobody asked for the files again: they were exchanged at once
        record.verify()
    assert len([e for e in one.store.entries(f"{uri}/releases") if e.path.endswith(".json")]) == 1


def test_a_dead_machines_lease_ends(machine: Machines, s3_server: S3Server, uri: str) -> None:
    """Another home takes over when it was not renewed in time; the same home at once."""
    one, two = machine("one"), machine("two")
    slot = f"{uri}/releases/demo-1/{STAGE}"
    abandoned = one.shared._leases._content()
    key = f"{slot}/{_key()}.lease"
    assert one.store.change(key, str(abandoned).replace("'", '"').encode(), "")
    started = time.monotonic()
    one.run(FILES)
    assert time.monotonic() - started < 3
    one.workspace().forget(one.run(FILES))
    assert one.store.change(key, str(abandoned).replace("'", '"').encode(), "")
    started = time.monotonic()
    two.run(FILES)
    assert 2 <= time.monotonic() - started < 15
    assert two.calls == 1
    assert not [e for e in two.store.entries(slot) if e.path.endswith(".lease")]


def _key() -> str:
    return Slot("", STAGE, INPUTS).key


CHILD = """
import os, signal, sys, time
from itertools import count
from pathlib import Path
from tasks.core.settings import Settings
from tests.clients.machines import Machine, objects

def make(folder):
    for number in range(6):
        (folder / f"shard-{number}").write_bytes(bytes([number]) * (6 << 20))

def killed_at_the_third(**_):
    if next(completed) < 2:
        return
    while len(objects(machine.store, sys.argv[2])) < 2:
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGKILL)

completed = count()
machine = Machine(Path(sys.argv[1]), Settings(), sys.argv[2])
machine.store._client.meta.events.register(
    "before-call.s3.CompleteMultipartUpload", killed_at_the_third
)
machine.run(make)
"""


def test_an_upload_that_was_killed_is_finished(
    machine: Machines, s3_server: S3Server, uri: str, tmp_path: Path
) -> None:
    """SIGKILL while files are sent: others see nothing; the next run sends the rest alone."""
    one, two = machine("one"), machine("two")
    command = [sys.executable, "-c", CHILD, str(one.home), uri]
    killed = subprocess.run(command, env=variables(s3_server), check=False)
    assert killed.returncode == -signal.SIGKILL
    there = objects(one.store, uri)
    assert len(there) == 2
    assert not one.shared.records("releases/demo-1", STAGE, StageRecord)
    sent: list[str] = []
    one.store._client.meta.events.register(
        "before-call.s3.CreateMultipartUpload", lambda params, **_: sent.append(params["url_path"])
    )
    made = one.run({})
    assert one.calls == 0, "what was made is not made again"
    assert len(sent) == 6 - len(there)
    assert two.here(two.run({})) == {f"shard-{n}": bytes([n]) * (6 << 20) for n in range(6)}
    assert two.calls == 0
    assert made.size == 6 * (6 << 20)


@pytest.mark.parametrize("damage", ["missing", "other", "record"])
def test_a_damaged_stage_counts_as_not_made(
    machine: Machines, s3_server: S3Server, uri: str, damage: str
) -> None:
    """An object gone or replaced, or a record that is none: said, made again, and whole again."""
    one, two, three = machine("one"), machine("two"), machine("three")
    one.run(FILES)
    bucket, prefix = "artifacts", uri.removeprefix("s3://artifacts/")
    weights = f"{prefix}/{_name(FILES['weights.safetensors'])}"
    match damage:
        case "missing":
            s3_server.client().delete_object(Bucket=bucket, Key=weights)
        case "other":
            s3_server.client().put_object(Bucket=bucket, Key=weights, Body=b"WEIGHTS")
        case _:
            record = f"{prefix}/releases/demo-1/{STAGE}/{_key()}.json"
            s3_server.client().put_object(Bucket=bucket, Key=record, Body=b"{}")
    two.run(FILES)
    assert two.calls == 1
    assert any("counts as not made" in note for note in two.told.notes)
    assert three.here(three.run(FILES)) == FILES
    assert three.calls == 0


def test_rotten_bytes_are_found_out_and_replaced(
    machine: Machines, s3_server: S3Server, uri: str
) -> None:
    """An object whose bytes changed under its name is refused, deleted, and made again."""
    one, two, three = machine("one"), machine("two"), machine("three")
    made = one.run(FILES)
    data = FILES["weights.safetensors"]
    s3_server.client().put_object(
        Bucket="artifacts",
        Key=f"{uri.removeprefix('s3://artifacts/')}/{_name(data)}",
        Body=data.upper(),
        Metadata={"sha256": sha256(data).hexdigest()},
    )
    with pytest.raises(IntegrityError, match="other bytes than recorded"):
        two.here(made)
    assert not two.workspace().folder(STAGE).exists()
    assert three.here(three.run(FILES)) == FILES
    assert three.calls == 1
    assert two.here(two.run(FILES)) == FILES


@pytest.mark.parametrize("left", ["prefix", "garbage", "too much", "whole"])
def test_a_broken_download_goes_on(machine: Machines, left: str) -> None:
    """What an attempt left is used where it is right, and thrown away where it is not."""
    one, two = machine("one"), machine("two")
    data = bytes(range(256)) * 40_000
    made = one.run({"f": data})
    folder = two.workspace().root / f"{STAGE}.fetched"
    folder.mkdir(parents=True)
    half = len(data) // 2
    kept = {"prefix": data[:half], "garbage": b"?" * half, "too much": data + b"!", "whole": data}
    (folder / "f.part").write_bytes(kept[left])
    (folder / "stale").write_bytes(b"of another making")
    asked: list[str] = []
    two.store._client.meta.events.register(
        "before-call.s3.GetObject", lambda params, **_: asked.append(params["headers"]["Range"])
    )
    assert two.here(made) == {"f": data}
    start, again = f"bytes={half}-", "bytes=0-"
    wanted = {"prefix": [start], "garbage": [start, again], "too much": [again], "whole": []}
    assert asked == wanted[left]


def test_a_disk_that_is_too_small_is_refused(machine: Machines, tmp_path: Path) -> None:
    """Before anything is fetched; the message says what to do."""
    one = machine("one")
    made = one.run(FILES)
    huge = FileRecord(path="huge", size=shutil.disk_usage(tmp_path).total, sha256="0" * 64)
    with pytest.raises(ResourceError, match="roundhouse prune"):
        machine("two").here(made.model_copy(update={"files": (huge,)}))


def test_what_is_forgotten_is_made_again(machine: Machines) -> None:
    """A stage that is forgotten on one machine counts as not made on all."""
    one, two = machine("one"), machine("two")
    one.workspace().forget(one.run(FILES))
    two.run({"f": b"anew"})
    assert one.here(one.run(FILES)) == {"f": b"anew"}
    assert (one.calls, two.calls) == (1, 1)


def test_a_stage_is_found_by_what_it_was_made_from(machine: Machines) -> None:
    """Another machine finds a stage by the digests of its upstream records, and no other."""
    one, two = machine("one"), machine("two")
    upstream = one.run({"f": b"up"}, "upstream")
    made = one.run(FILES, inputs={STAGE: upstream.digest, "recipe": "r"})
    found = two.workspace().made_from(STAGE, StageRecord, [upstream])
    assert found is not None
    assert found.digest == made.digest
    assert found.path.is_relative_to(two.home)
    assert two.workspace().made_from(STAGE, StageRecord, [made]) is None
    assert two.workspace("other").made_from(STAGE, StageRecord, [upstream]) is None


def test_logs_follow_a_stage(machine: Machines) -> None:
    """Another machine can bring the logs of the children that made a stage; nothing else."""
    one, two = machine("one"), machine("two")

    def make(folder: Path) -> None:
        scratch = one.workspace().scratch(STAGE)
        (scratch / "again").mkdir()
        (scratch / "again" / "child.log").write_text("second try")
        (scratch / "empty.log").touch()
        (scratch / "job.json").write_text("{}")

    made = one.run(make)
    two.workspace().bring_logs(two.run({}))
    there = two.workspace().scratch(STAGE)
    assert {p.relative_to(there).as_posix(): p.read_text() for p in there.rglob("*.*")} == {
        "again/child.log": "second try",
        "empty.log": "",
    }
    assert made.files == ()


def test_a_damaged_cache_is_mended_from_s3(machine: Machines) -> None:
    """A file changed on the machine itself is fetched again; the stage is not made again."""
    one = machine("one")
    made = one.run(FILES)
    (made.path / "weights.safetensors").write_bytes(b"WEIGHTS")
    assert one.here(one.run(FILES)) == FILES
    assert one.calls == 1
