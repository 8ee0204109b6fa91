"""The download stage against the Hub stand-in."""

from pathlib import Path

import pytest

from tasks.clients.hub_transfer import PART
from tasks.core.errors import BaseModelError, IntegrityError
from tasks.core.progress import Silent
from tasks.core.records import DownloadRecord, Estimate, Hardware, PlanRecord
from tasks.core.workspace import Workspace
from tasks.download.snapshot import _Counter, run
from tests.conftest import HubServer
from tests.small_base import Listening, base_files

ESTIMATE = Estimate(
    base=1, release=1, parameters=1, quantized_parameters=1, quantized_modules=1, blocks=1,
    vram=0, ram=1, disk=1, hours=1,
)  # fmt: skip
SHARD = "model-00001-of-00002.safetensors"


def planned(base: str, commit: str) -> PlanRecord:
    """A plan as far as download reads it."""
    return PlanRecord(
        stage="plan", folder="/", files=(), inputs={}, seconds=0, base=base, commit=commit,
        target="", architecture="", release_id="r", sources={}, license="",
        hardware=Hardware(cpus=1, ram=1, disk_free=1), estimate=ESTIMATE,
    )  # fmt: skip


def fetch(hub_server: HubServer, home: Path, base: str, commit: str) -> DownloadRecord:
    """Download with a reporter that tells nobody."""
    return run(planned(base, commit), hub=hub_server.hub(), home=home, reporter=Silent())


def served(hub_server: HubServer, since: int) -> list[str]:
    """Names of the files that were asked for since request number `since`."""
    requests = hub_server.requests()[since:]
    return [path.rsplit("/", 1)[-1] for _, path, _ in requests if "/resolve/" in path]


def test_what_a_release_needs_comes_byte_for_byte(hub_server: HubServer, tmp_path: Path) -> None:
    """Weights, tokenizer, templates, licence and card arrive; nothing else is in the folder."""
    files = base_files()
    commit = hub_server.seed("acme/dl", files | {"notes.txt": b"", "media/cat.png": b"png"})
    record = fetch(hub_server, tmp_path, "acme/dl", commit)
    assert {file.path for file in record.files} == set(files)
    assert all((record.path / path).read_bytes() == data for path, data in files.items())
    assert record.commit == commit


def test_the_planned_commit_comes_whatever_main_is(hub_server: HubServer, tmp_path: Path) -> None:
    """After a push the download still gives the planned bytes."""
    files = base_files()
    commit = hub_server.seed("acme/dl-pinned", files)
    hub_server.seed("acme/dl-pinned", {SHARD: b"other", "config.json": b"{}"})
    record = fetch(hub_server, tmp_path, "acme/dl-pinned", commit)
    assert (record.path / SHARD).read_bytes() == files[SHARD]
    assert (record.path / "config.json").read_bytes() == files["config.json"]


def test_code_and_pickles_stay_where_they_are(hub_server: HubServer, tmp_path: Path) -> None:
    """A pickle or Python file, also under a companion's name, is not downloaded; a note says so."""
    extra = {"pytorch_model.bin": b"\x80", "modeling.py": b"boom", "LICENSE.py": b"boom"}
    commit = hub_server.seed("acme/dl-code", base_files() | extra)
    since, reporter = len(hub_server.requests()), Listening()
    plan = planned("acme/dl-code", commit)
    record = run(plan, hub=hub_server.hub(), home=tmp_path, reporter=reporter)
    assert not {file.path for file in record.files} & set(extra)
    assert not set(served(hub_server, since)) & set(extra)
    assert all(name in " ".join(reporter.notes) for name in extra)


def test_pickled_weights_alone_are_refused(hub_server: HubServer, tmp_path: Path) -> None:
    """Without safetensors there is nothing to download, and nothing is."""
    commit = hub_server.seed("acme/dl-pickle", {"config.json": b"{}", "pytorch_model.bin": b"\x80"})
    with pytest.raises(BaseModelError, match=r"pytorch_model\.bin"):
        fetch(hub_server, tmp_path, "acme/dl-pickle", commit)


def test_an_interrupted_download_goes_on(hub_server: HubServer, tmp_path: Path) -> None:
    """Files of a dead attempt are verified and kept, half a shard is completed, rubbish goes."""
    files = base_files()
    commit = hub_server.seed("acme/dl-resume", files)
    workspace = Workspace.of_base(tmp_path, "acme/dl-resume", commit)
    with pytest.raises(KeyboardInterrupt):
        workspace.run("download", DownloadRecord, _inputs("acme/dl-resume", commit), _die)
    partial = workspace.partial("download")
    (partial / "tokenizer.json").write_bytes(files["tokenizer.json"])
    (partial / f"{SHARD}{PART}").write_bytes(files[SHARD][:100])
    (partial / "rubbish.txt").write_bytes(b"?")
    since = len(hub_server.requests())
    record = fetch(hub_server, tmp_path, "acme/dl-resume", commit)
    asked = served(hub_server, since)
    assert "tokenizer.json" not in asked
    assert SHARD in asked
    assert {file.path for file in record.files} == set(files)
    assert (record.path / SHARD).read_bytes() == files[SHARD]


def _inputs(base: str, commit: str) -> dict[str, str]:
    return {"base": base, "commit": commit}


def _die(_folder: Path) -> dict[str, object]:
    raise KeyboardInterrupt


def test_a_finished_download_is_verified_and_mended(hub_server: HubServer, tmp_path: Path) -> None:
    """The second run asks for no file; a file that rotted on the disk is fetched again."""
    files = base_files()
    commit = hub_server.seed("acme/dl-again", files)
    first = fetch(hub_server, tmp_path, "acme/dl-again", commit)
    since = len(hub_server.requests())
    assert fetch(hub_server, tmp_path, "acme/dl-again", commit) == first
    assert len(hub_server.requests()) == since
    (first.path / SHARD).write_bytes(files[SHARD][:-1])
    again = fetch(hub_server, tmp_path, "acme/dl-again", commit)
    assert (again.path / SHARD).read_bytes() == files[SHARD]


def test_a_shard_that_is_broken_on_the_hub_is_named(hub_server: HubServer, tmp_path: Path) -> None:
    """A shard that was truncated before it was uploaded is told from its header."""
    files = base_files()
    commit = hub_server.seed("acme/dl-cut", files | {SHARD: files[SHARD][:-7]})
    with pytest.raises(IntegrityError, match="model-00001-of-00002"):
        fetch(hub_server, tmp_path, "acme/dl-cut", commit)
    assert not Workspace.of_base(tmp_path, "acme/dl-cut", commit).folder("download").exists()


def test_progress_is_told_in_bytes_every_two_seconds() -> None:
    """Fractions of the bytes, not more often than every two seconds, falling with lost bytes."""
    times = iter([0.0, 0.5, 2.5, 3.0, 5.0])
    reporter = Listening()
    counter = _Counter(1000, reporter, clock=lambda: next(times))
    for count in (100, 400, 200, -300):
        counter.add(count)
    assert [fraction for fraction, _ in reporter.updates] == [0.5, 0.4]
