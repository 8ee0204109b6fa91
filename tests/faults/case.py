"""One point's release: its own home and target, its processes, and how its command ended."""

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tasks.core.digest import sha256_file
from tests.e2e.house import BASE, RELEASE_SECONDS, ROOT, Finished, processes, wait_for
from tests.faults.stand import Stand

CHILD_SECONDS = 90.0
GUARDIAN = "tasks.core.guardian"
ENGINE = "prefect.engine"
RECIPE = "light"
STAGES = ("quantize", "convert", "validate")


@dataclass
class Case:
    """What a point works with.

    Attributes:
        stand: the stack.
        name: of the point.
        model: home of the undisturbed release, whose finished stages are copied.
        variables: of the runs, beyond those of the stand.
        runs: how the command ended, each time.
        foreign: files that somebody else put into the target.
        last: the arguments of the command that was typed last.
    """

    stand: Stand
    name: str
    model: Path
    variables: dict[str, str] = field(default_factory=dict)
    runs: list[Finished] = field(default_factory=list)
    foreign: set[str] = field(default_factory=set)
    last: tuple[str, ...] = ()

    @property
    def home(self) -> Path:
        """Workspaces of this point."""
        return self.stand.scratch / self.name

    @property
    def target(self) -> str:
        """Repository of this point's release."""
        return f"roundhouse/{self.name}-{self.stand.mark}"

    def prepare(self, *without: str) -> None:
        """Copy what the undisturbed release made, but its publication and these stages."""
        shutil.copytree(self.model, self.home, dirs_exist_ok=True)
        for folder in self.home.glob("releases/*/targets"):
            shutil.rmtree(folder)
        for stage in without:
            for pattern in (f"releases/*/{stage}*", f"bases/*/*/{stage}*"):
                for path in self.home.glob(pattern):
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
        self.direct()

    def direct(self) -> None:
        """Let runs work in this point's home from now on."""
        self.stand.direct_runs(self.stand.through(self.home, **self.variables))

    def folder(self, stage: str) -> Path:
        """Where a stage's files lie, or will."""
        place = "bases/*/*" if stage == "download" else "releases/*"
        (record,) = self.model.glob(f"{place}/{stage}.json")
        return self.home / record.relative_to(self.model).with_suffix("")

    def unsend(self) -> None:
        """Let the Hub forget the weights: else it knows them from the undisturbed release."""
        for shard in self.folder("convert").glob("*.safetensors"):
            for blob in self.stand.layout.data("hub").glob(f"blobs/*/{sha256_file(shard)}"):
                blob.unlink()

    @contextmanager
    def release(self, *changes: str, target: str = "") -> Iterator[subprocess.Popen[str]]:
        """The command a person types; its end is waited for and kept."""
        sets = [word for change in changes for word in ("--set", change)]
        command = ["release", BASE, "--to", target or self.target, "--recipe", RECIPE, *sets]
        with self.command(*command) as running:
            yield running

    @contextmanager
    def command(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """A command of `roundhouse`, through the proxies; its end is waited for and kept."""
        started, self.last = time.monotonic(), arguments
        with subprocess.Popen(
            [sys.executable, "-m", "flows", *arguments],
            env=self.stand.house.env | self.stand.through(self.home, **self.variables),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as running:
            try:
                yield running
                out, _ = running.communicate(timeout=RELEASE_SECONDS)
            finally:
                running.kill()
        took = time.monotonic() - started
        self.runs.append(Finished(running.returncode, out, "", took))

    def again(self) -> AbstractContextManager[subprocess.Popen[str]]:
        """The command that was typed last, once more."""
        return self.command(*self.last)

    def child(self, *marks: str) -> psutil.Process:
        """A process that works for this release, once there is one."""

        def look() -> psutil.Process | None:
            found = processes(self.home, *marks)
            guards = GUARDIAN in marks
            return next((p for p in found if guards == (GUARDIAN in p.cmdline())), None)

        return wait_for(" ".join(marks), look, CHILD_SECONDS)

    def engine(self, pool: str) -> psutil.Process:
        """The process of the run that is in a pool, once there is one."""

        def look() -> psutil.Process | None:
            for process in processes(self.home, ENGINE):
                parent = process.parent()
                if parent is not None and pool in parent.cmdline():
                    return process
            return None

        return wait_for(f"a run in {pool}", look, CHILD_SECONDS)

    def idle(self) -> list[psutil.Process]:
        """What still runs for this release."""
        return processes(self.home)


def first_error(run: Finished) -> str:
    """What a failed command says went wrong."""
    found = re.search(r"^error (\w+): (.*)$", run.out, re.MULTILINE)
    return f"{found[1]}: {found[2]}" if found else ""


def is_clear(run: Finished) -> bool:
    """Whether a failed command says what it found or expected and what to do; no traceback."""
    told = "found:" in run.out or "expected:" in run.out
    return bool(first_error(run)) and told and "to do:" in run.out and "Traceback" not in run.out
