"""The page about a GPU box, followed on this machine: a server with a password, two workers.

Its commands make the pools and deployments from what the project ships for people's own servers,
not by the embedded stack's way. The Hub and the bucket are the stack's; what a person chooses is
chosen here: the secrets' folder, the server's port, and the base with its recipe.
"""

import contextlib
import json
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import requests

from tests.conftest import free_port
from tests.docs.pages import ROOT, blocks
from tests.e2e.house import BASE, RELEASE_SECONDS, House, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.heavy]
PAGE = ROOT / "docs" / "how-to" / "gpu-box.md"
TARGET = "roundhouse/from-a-gpu-box"
STAYS = re.compile(r"prefect (server|worker) start")
START_SECONDS = 90


class Box:
    """The page's commands, each in a shell that knows what was exported before it."""

    def __init__(self, folder: Path, house: House) -> None:
        """Settings of the stack but for Prefect's, which the page has."""
        self.folder, self.port = folder, free_port()
        self.running: list[subprocess.Popen[bytes]] = []
        self.exported = ""
        self.env = {k: v for k, v in house.env.items() if not k.startswith("PREFECT_")} | {
            "PREFECT_HOME": str(folder / "server"),
            "PREFECT_SERVER_API_PORT": str(self.port),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "ROUNDHOUSE_HOME": str(folder / "home"),
        }

    def follow(self, line: str) -> str:
        """Do what a line says; what stays is started, and gone on from once the server answers."""
        line = line.replace("/secrets/", f"{self.folder}/").replace(":4200", f":{self.port}")
        if line.startswith(("export ", "(umask ")):
            self.exported += line + "\n" if line.startswith("export ") else ""
            return self.shell(line)
        if not STAYS.search(line):
            return self.shell(line)
        with (self.folder / "staying.log").open("ab") as log:
            self.running.append(
                subprocess.Popen(
                    ["bash", "-c", f"{self.exported}exec {line}"],
                    cwd=ROOT,
                    env=self.env,
                    stdout=log,
                    stderr=log,
                )
            )
        wait_for("the server", self.answers, START_SECONDS)
        return ""

    def shell(self, line: str) -> str:
        """Run to the end; anything but success fails the test."""
        done = subprocess.run(
            ["bash", "-c", f"set -eu\n{self.exported}{line}"],
            cwd=ROOT,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=RELEASE_SECONDS,
            check=False,
        )
        assert done.returncode == 0, line + done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout

    def answers(self) -> bool:
        """Whether the server is healthy, which it tells anybody."""
        with contextlib.suppress(requests.ConnectionError, requests.Timeout):
            return requests.get(self.url("health"), timeout=5).ok
        return False

    def url(self, path: str) -> str:
        """Address in the API."""
        return f"http://127.0.0.1:{self.port}/api/{path}"

    def stop(self) -> None:
        """End workers before the server, and whatever one of them left."""
        for process in reversed(self.running):
            itself = psutil.Process(process.pid)
            family = [*itself.children(recursive=True), itself]
            process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(30)
            for left in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    left.kill()
            process.wait(10)


@pytest.fixture
def box(house: House, tmp_path: Path) -> Iterator[Box]:
    """The machine; what was started on it is ended."""
    made = Box(tmp_path, house)
    try:
        yield made
    finally:
        made.stop()


def test_the_page_of_the_gpu_box_by_copy_and_paste(box: Box) -> None:
    """Server, pools, deployments and workers come up as the page says, and make a release."""
    serving = next(text for text in blocks(PAGE) if "prefect server start" in text)
    for line in serving.splitlines():
        box.follow(line)
    assert len(box.running) == 3
    assert requests.post(box.url("deployments/filter"), json={}, timeout=10).status_code == 401
    said = box.follow(
        f".venv/flow/bin/roundhouse release {BASE} --to {TARGET} --recipe light --json"
    )
    assert json.loads(said)["hub_repo"] == TARGET
