"""Quantize, killed by SIGKILL at random moments: `python -m tests.bench.kills FOLDER --times 10`.

Each time a run is killed once, at a moment drawn from the length of a run that nobody disturbed,
and started again. Its files must be those of the undisturbed run, byte for byte.
"""

import argparse
import random
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from tasks.core.digest import sha256_file
from tasks.core.errors import WorkerLost
from tasks.core.manifest import relative_files
from tasks.core.progress import Silent
from tasks.core.recipe import Recipe
from tasks.quantize.launch import STORE, build
from tests.bench import demo


@dataclass(frozen=True)
class Subject:
    """What is quantized, and where."""

    folder: Path
    base: Path
    samples: Path
    recipe: Recipe


@dataclass(frozen=True)
class Killed:
    """One run that was killed and went on.

    Attributes:
        moment: seconds after the start.
        struck: whether the run was still there to be killed.
        kept: blocks that were finished by then.
        same: whether the files in the end were those of the undisturbed run.
    """

    moment: float
    struck: bool
    kept: int
    same: bool


def undisturbed(subject: Subject) -> tuple[dict[str, str], float]:
    """The digest of each file of a run that nobody disturbs, and its seconds."""
    start = time.monotonic()
    _run(subject, "whole")
    return _digests(subject.folder / "whole"), time.monotonic() - start


def kill_once(subject: Subject, moment: float, wanted: dict[str, str]) -> Killed:
    """Kill a run after `moment` seconds, start it again, and compare."""
    killer = threading.Timer(moment, _kill)
    killer.start()
    try:
        _run(subject, "killed")
        struck = False
    except WorkerLost:
        struck = True
    finally:
        killer.cancel()
        killer.join()
    kept = len(list(_scratch(subject, "killed").glob(f"{STORE}/*.safetensors")))
    if struck:
        _run(subject, "killed")
    return Killed(moment, struck, kept, _digests(subject.folder / "killed") == wanted)


def _kill() -> None:
    """Kill the quantizing child of this process, its guardian left alone."""
    for process in psutil.Process().children(recursive=True):
        command = process.cmdline()
        if "tasks.quantize.worker" in command and "tasks.core.guardian" not in command:
            process.kill()


def _scratch(subject: Subject, name: str) -> Path:
    return subject.folder / f"{name}.scratch"


def _run(subject: Subject, name: str) -> None:
    scratch = _scratch(subject, name)
    scratch.mkdir(exist_ok=True)
    build(subject.folder / name, subject.base, subject.samples, subject.recipe, scratch, Silent())


def _digests(folder: Path) -> dict[str, str]:
    return {name: sha256_file(folder / name) for name in relative_files(folder)}


def main() -> int:
    """Kill, compare and say; 1 if any file differed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="takes base, samples and results")
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1, help="of the moments")
    chosen = parser.parse_args()
    chosen.folder.mkdir(parents=True)
    base, recipe = demo.base(chosen.folder / "base"), demo.recipe()
    samples = demo.samples(chosen.folder, base, recipe)
    subject = Subject(chosen.folder, base, samples, recipe)
    wanted, seconds = undisturbed(subject)
    sys.stdout.write(f"undisturbed: {len(wanted)} files in {seconds:.1f} s; seed {chosen.seed}\n")
    rng = random.Random(chosen.seed)  # noqa: S311 - no secret
    moments = [rng.uniform(0, seconds) for _ in range(chosen.times)]
    killed = [_said(kill_once(subject, moment, wanted)) for moment in moments]
    return 0 if all(each.same for each in killed) else 1


def _said(killed: Killed) -> Killed:
    state = f"killed with {killed.kept} blocks kept" if killed.struck else "was through before"
    verdict = "the same bytes" if killed.same else "OTHER BYTES"
    sys.stdout.write(f"after {killed.moment:5.1f} s: {state}; {verdict}\n")
    sys.stdout.flush()
    return killed


if __name__ == "__main__":
    sys.exit(main())
