"""The embedded stack against its real parts: Prefect, SeaweedFS, the Hub stand-in, workers."""

import json
import os
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import boto3
import httpx
import psutil
import pytest
from huggingface_hub import HfApi
from mypy_boto3_s3 import S3Client
from prefect.client.orchestration import SyncPrefectClient

from infra.local import stack
from infra.local.daemon import Daemon
from infra.local.ending import marked
from infra.local.layout import ROOT, Layout
from infra.local.pidfile import PidFile
from infra.local.seed import DATA, MODEL
from tasks.core.errors import BAD_INPUT, InputError

PIECES = {"prefect", "hub", "s3", "worker-cpu", "worker-gpu-0", "keeper"}
REPAIR_SECONDS = 90.0
PREFECT_YAML = """\
name: small
pull: []
deployments:
  - {name: cpu, entrypoint: "small.py:look", work_pool: {name: cpu}}
  - {name: gpu, entrypoint: "small.py:look", work_pool: {name: gpu}}
"""
FLOW = """\
import json, os, subprocess, sys, time
from pathlib import Path
from typing import Any
from prefect import flow

@flow
def look(out: str, seconds: int = 0) -> None:
    child = [sys.executable, "-c", f"import time; time.sleep({seconds})"]
    subprocess.Popen(child, start_new_session=True)
    import tasks.core
    Path(out).write_text(json.dumps(dict(os.environ)))
    time.sleep(seconds)
"""

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two small deployments."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "prefect.yaml").write_text(PREFECT_YAML)
    (folder / "small.py").write_text(FLOW)
    return folder


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, project: Path) -> Iterator[stack.Stack]:
    """A stack of this module's own."""
    home = tmp_path_factory.mktemp("home")
    try:
        yield stack.up(home, project=project)
    finally:
        stack.down(home)


def pids(home: Path) -> dict[str, int | None]:
    found = stack.status(home)
    assert found.well, "\n".join(f"{p.name} {p.state} {p.detail}" for p in found.pieces)
    return {piece.name: piece.pid for piece in found.pieces}


def api(running: stack.Stack, method: str, path: str, **body: object) -> Any:
    # Prefect's client, since it asks again when the server's database is locked.
    with SyncPrefectClient(api=f"{running.prefect}/api") as client:
        return client._client.request(method, path, json=body).json()


def start_run(running: stack.Stack, deployment: str, **parameters: object) -> str:
    deployed = api(running, "GET", f"deployments/name/look/{deployment}")
    path = f"deployments/{deployed['id']}/create_flow_run"
    return str(api(running, "POST", path, parameters=parameters, state={"type": "SCHEDULED"})["id"])


def wait_for_file(path: Path, seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not path.is_file():
        assert time.monotonic() < deadline, f"{path} does not appear"
        time.sleep(0.1)


def wait_for_state(running: stack.Stack, run: str, wanted: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while (state := api(running, "GET", f"flow_runs/{run}")["state_type"]) != wanted:
        assert time.monotonic() < deadline, state
        time.sleep(0.2)


def s3_client(environment: dict[str, str]) -> S3Client:
    return boto3.client(
        "s3",
        endpoint_url=environment["AWS_ENDPOINT_URL_S3"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        region_name=environment["AWS_REGION"],
    )


def test_a_taken_port_is_named_with_its_holder_and_the_remedy(tmp_path: Path) -> None:
    """A fixed port somebody listens on is bad input, and nothing is started."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(InputError) as raised:
            stack.up(tmp_path, fixed={"hub": port})
    text = str(raised.value)
    assert raised.value.exit_code == BAD_INPUT
    assert str(port) in text
    assert f"process {os.getpid()}" in text
    assert "ROUNDHOUSE_PORT_HUB" in text
    assert marked(tmp_path) == []


def test_the_facade_loads_no_prefect() -> None:
    """Who imports the stack can still set PREFECT_API_URL before Prefect reads its settings."""
    code = "import sys, infra.local.stack; sys.exit('prefect' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_a_recycled_process_id_is_never_ended(tmp_path: Path) -> None:
    """A pidfile whose process is gone does not name the innocent process that has its id now."""
    layout = Layout.of(tmp_path)
    layout.make()
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as innocent:
        created = psutil.Process(innocent.pid).create_time() - 3600
        PidFile(pid=innocent.pid, created=created, digest="").write(layout.pid("s3"))
        Daemon(layout, "s3").stop(grace=0)
        assert innocent.poll() is None
        innocent.kill()


def test_what_a_killed_up_left_is_found_and_ended(tmp_path: Path, project: Path) -> None:
    """`up` killed halfway leaves servers behind; `down` ends all of them."""
    code = "import sys, pathlib; from infra.local import stack; "
    code += "stack.up(pathlib.Path(sys.argv[1]), project=pathlib.Path(sys.argv[2]))"
    command = [sys.executable, "-c", code, str(tmp_path), str(project)]
    with subprocess.Popen(command, cwd=ROOT) as process:
        for name in ("prefect", "hub", "s3"):
            wait_for_file(Layout.of(tmp_path).pid(name))
        process.send_signal(signal.SIGKILL)
    try:
        assert len(marked(tmp_path)) >= 3
    finally:
        stack.down(tmp_path)
    assert marked(tmp_path) == []
    assert not list(Layout.of(tmp_path).pid("any").parent.iterdir())


def test_up_twice_is_one_stack(running: stack.Stack, project: Path) -> None:
    """A second `up` keeps every process and every address."""
    before = pids(running.home)
    again = stack.up(running.home, project=project)
    assert set(before) == PIECES
    assert (pids(running.home), again) == (before, running)


@pytest.mark.parametrize("name", ["s3", "hub", "worker-cpu"])
def test_the_keeper_starts_a_killed_piece_again_alone(running: stack.Stack, name: str) -> None:
    """What dies is started again without anybody asking; the rest is kept, no data is lost."""
    store = s3_client(running.env())
    store.put_object(Bucket="artifacts", Key="kept", Body=b"kept")
    before = pids(running.home)
    psutil.Process(before[name]).kill()
    deadline = time.monotonic() + REPAIR_SECONDS
    while not _repaired(found := stack.status(running.home), name, before[name]):
        assert time.monotonic() < deadline, found
        time.sleep(0.5)
    after = {piece.name: piece.pid for piece in found.pieces}
    assert {n for n in PIECES if after[n] != before[n]} == {name}
    assert store.get_object(Bucket="artifacts", Key="kept")["Body"].read() == b"kept"


def _repaired(found: stack.StackStatus, name: str, pid: int | None) -> bool:
    return found.well and all(p.pid != pid for p in found.pieces if p.name == name)


def test_a_killed_worker_loses_no_run(running: stack.Stack, tmp_path: Path) -> None:
    """A run is ended with its worker, made again, and completes."""
    out = tmp_path / "out.json"
    run = start_run(running, "cpu", out=str(out), seconds=15)
    wait_for_file(out)
    psutil.Process(pids(running.home)["worker-cpu"]).kill()
    wait_for_state(running, run, "COMPLETED", seconds=REPAIR_SECONDS + 60)
    assert api(running, "GET", f"flow_runs/{run}")["run_count"] == 2


def test_up_starts_a_dead_keeper_again(running: stack.Stack, project: Path) -> None:
    """`up` repairs what the keeper cannot: the keeper."""
    before = pids(running.home)
    keeper = psutil.Process(before["keeper"])
    keeper.kill()
    dead = {p.name for p in stack.status(running.home).pieces if p.state == "dead"}
    stack.up(running.home, project=project)
    after = pids(running.home)
    assert dead == {"keeper"}
    assert {n for n in PIECES if after[n] != before[n]} == {"keeper"}


def test_seeding_happens_once_and_keeps_later_commits(running: stack.Stack, project: Path) -> None:
    """The Hub holds the demo's model and data; a second `up` commits nothing over a person's."""
    env = running.env()
    hub = HfApi(endpoint=env["HF_ENDPOINT"], token=env["HF_TOKEN"])
    files = set(hub.list_repo_files(DATA, repo_type="dataset"))
    assert {"calibration.jsonl", "heldout.jsonl", "images.jsonl"} <= files
    model = hub.list_repo_files(MODEL)
    assert "config.json" in model
    assert any(name.endswith(".safetensors") for name in model)
    later = hub.upload_file(path_or_fileobj=b"mine", path_in_repo="mine.txt", repo_id=MODEL)
    stack.up(running.home, project=project)
    assert hub.list_repo_commits(MODEL)[0].commit_id == later.oid


def test_image_rows_name_files_of_the_data_set(running: stack.Stack) -> None:
    """Each row of images.jsonl has an `image` that lies in the same repository."""
    env = running.env()
    hub = HfApi(endpoint=env["HF_ENDPOINT"], token=env["HF_TOKEN"])
    url = f"{running.hub}/datasets/{DATA}/resolve/main/images.jsonl"
    text = httpx.get(url, headers={"Authorization": f"Bearer {env['HF_TOKEN']}"}).text
    named = {json.loads(line)["image"] for line in text.splitlines()}
    assert named
    assert named <= set(hub.list_repo_files(DATA, repo_type="dataset"))


def test_runs_get_the_stack_from_their_worker_and_secrets_stay_there(
    running: stack.Stack, tmp_path: Path
) -> None:
    """A run sees the variables; what Prefect stores and every log are free of the secrets."""
    seen = tmp_path / "seen.json"
    run = start_run(running, "cpu", out=str(seen))
    wait_for_state(running, run, "COMPLETED")
    env = running.env()
    found = json.loads(seen.read_bytes())
    # Prefect hands its own settings on in its own way, and prepends to PYTHONPATH.
    assert {k: v for k, v in env.items() if not k.startswith("P")}.items() <= found.items()
    assert found["PREFECT_API_URL"] == env["PREFECT_API_URL"]
    assert str(ROOT) in found["PYTHONPATH"].split(os.pathsep)

    secrets = [env["HF_TOKEN"], env["AWS_SECRET_ACCESS_KEY"], env["AWS_ACCESS_KEY_ID"]]
    root = Layout.of(running.home).root
    told = [*root.glob("logs/*"), *root.glob("pids/*"), *root.glob("prefect/*.db*")]
    told += [root / "stack.json", root / "deployed.json"]
    assert len(told) >= 10
    for path in told:
        content = path.read_bytes()
        assert not any(secret.encode() in content for secret in secrets), path
    for path in (root / "credentials.json", root / "hub-tokens.json"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_pools_and_automation_are_made_once(running: stack.Stack) -> None:
    """However often `up` ran there is one of each automation, and a GPU takes one run at a time."""
    automations = api(running, "POST", "automations/filter")
    pool = api(running, "GET", "work_pools/gpu")
    assert sorted(a["name"] for a in automations) == [
        "Crash runs that never begin",
        "Crash zombie flow runs",
        "Take up crashed releases",
    ]
    assert (pool["type"], pool["concurrency_limit"]) == ("process", 1)


def test_down_ends_runs_and_their_children_too(running: stack.Stack, tmp_path: Path) -> None:
    """`down` leaves no process of a run, sessions of its children included, and the run Crashed."""
    started = tmp_path / "started.json"
    run = start_run(running, "gpu", out=str(started), seconds=600)
    wait_for_file(started)
    family = marked(running.home)
    assert any("time.sleep(600)" in " ".join(p.cmdline()) for p in family)
    stack.down(running.home)
    assert marked(running.home) == []
    assert not [p for p in family if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
    assert {p.state for p in stack.status(running.home).pieces} == {"stopped"}
    with closing(sqlite3.connect(Layout.of(running.home).data("prefect") / "prefect.db")) as db:
        assert db.execute("SELECT state_type FROM flow_run WHERE id = ?", (run,)).fetchone() == (
            "CRASHED",
        )
