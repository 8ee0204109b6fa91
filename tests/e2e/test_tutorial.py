"""The tutorial, followed by copy and paste in a fresh folder."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, blocks
from tests.e2e.house import RELEASE_SECONDS, Demo, House

pytestmark = [pytest.mark.e2e, pytest.mark.heavy]
TUTORIAL = ROOT / "docs" / "tutorial.md"
STOP = "make down\n"


@pytest.fixture
def fresh(tmp_path: Path, house: House) -> Path:
    """The project's files in a folder of their own; made environments and the stack at hand.

    So `make demo` finds the release of this test run finished, verifies it and publishes nothing
    twice; the commands are those of the page all the same.
    """
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    folder = tmp_path / "roundhouse"
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    (folder / ".venv").symlink_to(ROOT / ".venv")
    (folder / "var").symlink_to(house.home)
    return folder


def test_the_tutorial_by_copy_and_paste(fresh: Path, demo: Demo) -> None:
    """Its blocks, pasted one after the other into one shell, all succeed, and do what it says."""
    *pasted, last = blocks(TUTORIAL)
    assert pasted[0] == "make demo\n"
    assert last == STOP, "the stack is other tests' too, and is stopped at their end"
    script = "set -euo pipefail\n" + "\n".join(pasted)
    foreign = ("ROUNDHOUSE_", "PREFECT_", "HF_", "AWS_")
    env = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=fresh,
        env=env,
        capture_output=True,
        text=True,
        timeout=RELEASE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert str(demo.outcome["release_id"]) in done.stdout
    assert (fresh / "restored").is_dir()
    assert "LINT_ONLY" in done.stdout
