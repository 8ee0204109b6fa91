"""Child processes: nothing outlives its use, and nothing of ours leaks into them."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tasks.core.errors import PermanentError, WorkerLost
from tasks.core.process import Child, child_environment

PYTHON = sys.executable
FAMILY = """
import os, subprocess, sys, time
grandchild = subprocess.Popen([sys.executable, "-c", {grandchild!r}])
print(os.getpid(), grandchild.pid, flush=True)
time.sleep(120)
"""
SLEEP = "import time; time.sleep(120)"
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(120)"
DETACHED = "import os, time; os.setsid(); time.sleep(120)"


def _wait(condition: Callable[[], object], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def _gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def _family(log: Path) -> list[int]:
    """Pids of child and grandchild, once they have been printed."""
    _wait(lambda: log.is_file() and log.read_text().endswith("\n"))
    return [int(pid) for pid in log.read_text().split()]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "logs" / "child.log"


def test_lines_are_followed_as_they_come(log: Path) -> None:
    """Each whole line of both streams is handed on once, in order, while the child runs."""
    code = "import sys\nfor n in range(3): print(n, flush=True); sys.stderr.write(f'e{n}\\n')"
    seen: list[str] = []
    with Child([PYTHON, "-c", code], log) as child:
        child.follow(seen.append)
    assert seen == ["0", "e0", "1", "e1", "2", "e2"]
    assert child.returncode == 0


def test_a_line_arrives_before_the_end(log: Path) -> None:
    """A line is handed on while the child still runs, and half a line is not."""
    code = "import sys, time; sys.stdout.write('one\\ntw'); sys.stdout.flush(); time.sleep(120)"
    seen: list[str] = []
    with Child([PYTHON, "-c", code], log) as child, pytest.raises(PermanentError):
        child.follow(seen.append, deadline=3)
    assert seen == ["one"]


def test_a_second_child_appends_and_sees_its_own_lines(log: Path) -> None:
    """Attempts share one log, and each follows and quotes only what it wrote."""
    for word in ("first", "second"):
        seen: list[str] = []
        with Child([PYTHON, "-c", f"print({word!r})"], log) as child:
            child.follow(seen.append)
        assert seen == [word] == child.tail().splitlines()
    assert log.read_text() == "first\nsecond\n"


@pytest.mark.parametrize("status", [1, 2, 77, 255])
def test_a_failure_is_permanent_and_quotes_the_log(log: Path, status: int) -> None:
    """A child that fails by itself is not tried again; the error has its last lines.

    255 is what exit(-1) gives, and no signal's.
    """
    code = f"import sys; print('no such layer'); sys.exit({status})"
    with Child([PYTHON, "-c", code], log) as child, pytest.raises(PermanentError) as failed:
        child.follow()
    assert child.returncode == status
    assert "no such layer" in failed.value.found
    assert str(log) in failed.value.remedy


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
def test_a_child_killed_from_outside_is_transient(log: Path, number: signal.Signals) -> None:
    """A child that a signal ended, as the kernel's out-of-memory killer does, is tried again."""
    code = f"import os; os.kill(os.getpid(), {int(number)})"
    with Child([PYTHON, "-c", code], log) as child, pytest.raises(WorkerLost, match=number.name):
        child.follow()
    assert child.returncode == 128 + number


def test_a_guardian_killed_from_outside_takes_its_tree_along(log: Path) -> None:
    """Kill the guardian itself: the run is lost, and child and grandchild are gone."""
    with Child([PYTHON, "-c", FAMILY.format(grandchild=SLEEP)], log) as child:
        pids = _family(log)
        os.kill(psutil.Process(pids[0]).ppid(), signal.SIGKILL)
        with pytest.raises(WorkerLost, match="SIGKILL"):
            child.follow()
    _wait(lambda: all(map(_gone, pids)))


@pytest.mark.parametrize("grandchild", [SLEEP, STUBBORN, DETACHED])
def test_stop_ends_the_whole_tree(log: Path, grandchild: str) -> None:
    """Leaving the context ends grandchildren too: deaf ones, and ones in a session of their own."""
    with Child([PYTHON, "-c", FAMILY.format(grandchild=grandchild)], log):
        pids = _family(log)
        assert not any(map(_gone, pids))
    _wait(lambda: all(map(_gone, pids)))


def test_a_child_that_ends_leaves_no_orphan(log: Path) -> None:
    """What a command started and left running ends with it."""
    code = FAMILY.format(grandchild=DETACHED).replace("time.sleep(120)\n", "")
    with Child([PYTHON, "-c", code], log) as child:
        child.follow()
    _, orphan = _family(log)
    assert _gone(orphan)


def test_the_deadline_ends_the_tree(log: Path) -> None:
    """A child that is late is ended with all it started, and the error says how late."""
    started = time.monotonic()
    with Child([PYTHON, "-c", FAMILY.format(grandchild=SLEEP)], log) as child:
        with pytest.raises(PermanentError, match=r"(?s)did not end in time.*within 2 s"):
            child.follow(deadline=2)
        pids = _family(log)
        _wait(lambda: all(map(_gone, pids)), 1)
    assert time.monotonic() - started < 15


def test_the_tree_dies_with_its_parent(tmp_path: Path, log: Path) -> None:
    """SIGKILL whoever asked for the child: nothing can be cleaned up, and nothing is left."""
    command = [PYTHON, "-c", FAMILY.format(grandchild=STUBBORN)]
    code = f"""
from pathlib import Path
from tasks.core.process import Child
with Child({command!r}, Path({str(log)!r})) as child:
    child.follow()
"""
    asker = subprocess.Popen([PYTHON, "-c", code], cwd=Path(__file__).parents[2])
    pids = _family(log)
    asker.kill()
    asker.wait()
    _wait(lambda: all(map(_gone, pids)))


def test_children_get_no_secrets(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tokens, keys, passwords and URLs that carry them stay here; settings go along."""
    secrets = (
        "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN", "PREFECT_API_KEY", "PREFECT_API_AUTH_STRING", "MY_PASSWORD",
        "PREFECT_SERVER_DATABASE_CONNECTION_URL", "ROUNDHOUSE_SIGNING_KEY", "openai_api_key",
    )  # fmt: skip
    for name in secrets:
        monkeypatch.setenv(name, "canary-secret")
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "false")
    code = "import os; print(*(f'{k}={v}' for k, v in os.environ.items()), sep='\\n')"
    with Child([PYTHON, "-c", code], log) as child:
        child.follow()
    seen = log.read_text()
    assert "canary-secret" not in seen
    assert "TOKENIZERS_PARALLELISM=false" in seen
    assert f"PATH={os.environ['PATH']}" in seen


def test_the_callers_environment_reaches_the_child(log: Path, tmp_path: Path) -> None:
    """Variables that are asked for arrive, PYTHONPATH among them; cwd is where it was asked."""
    (tmp_path / "treasure.py").write_text("print('found', flush=True)")
    environment = child_environment(PYTHONPATH=str(tmp_path), EXTRA="here")
    code = "import os, treasure; print(os.environ['EXTRA'], os.getcwd())"
    with Child([PYTHON, "-c", code], log, env=environment, cwd=tmp_path) as child:
        child.follow()
    assert log.read_text().splitlines() == ["found", f"here {tmp_path}"]


def test_a_program_that_does_not_exist_is_permanent(log: Path) -> None:
    """A command that cannot be started fails with its name."""
    with Child(["/nowhere/program"], log) as child, pytest.raises(PermanentError) as failed:
        child.follow()
    assert "/nowhere/program" in failed.value.found
