"""`tuner: fused` in its child process: who ran, how well, and what a killed run leaves."""

import json
import random
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tasks.core.digest import sha256_file
from tasks.core.errors import WorkerLost
from tasks.core.jobs import LOG
from tasks.core.manifest import relative_files
from tasks.core.progress import Silent
from tasks.core.recipe import Recipe
from tasks.quantize.launch import STORE, build, environment
from tests.bench.kills import Subject, kill_once, undisturbed

pytestmark = pytest.mark.heavy
Make = Callable[..., Recipe]
RATIO = 2.0
"""Least speed against AutoRound's own tuner that a busy machine must show; a quiet one, 2.5."""


class Kill(Silent):
    """Kills the child when a moment comes."""

    def __init__(self, moment: str) -> None:
        self.moment = moment

    def update(self, fraction: float, message: str) -> None:  # noqa: ARG002 - the protocol's
        """Look for the child among the descendants, and kill it."""
        if message.startswith(self.moment):
            for process in psutil.Process().children(recursive=True):
                command = process.cmdline()
                if "tasks.quantize.worker" in command and "tasks.core.guardian" not in command:
                    process.kill()


def _digests(folder: Path) -> dict[str, str]:
    return {name: sha256_file(folder / name) for name in relative_files(folder)}


def _quantize(
    out: Path, base: Path, samples: Path, recipe: Recipe, reporter: Silent | None = None
) -> dict[str, Any]:
    scratch = out.with_name(f"{out.name}.scratch")
    scratch.mkdir(exist_ok=True)
    return build(out, base, samples, recipe, scratch, reporter or Silent())


def test_a_run_killed_again_and_again_ends_with_the_same_bytes(
    base: Path, samples: Path, recipe: Make, tmp_path: Path
) -> None:
    """Finished blocks are taken over, the lost one is tuned again, and no byte differs.

    Blocks of another seed's run, and one whose codes are damaged, are tuned again as well. The log
    names tuner, kernels and precision, so the algorithm that ran is ours.
    """
    chosen = recipe(tuning__tuner="fused")
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    facts = _quantize(whole, base, samples, chosen)
    log = (tmp_path / "whole.scratch" / LOG).read_text()
    assert "tuner fused, native kernels" in log or "tuner fused, eager kernels" in log
    assert "left to AutoRound" not in log
    assert len(facts["blocks"]) == 2

    other = recipe(tuning__tuner="fused", tuning__seed=7)
    killed = ((other, "block 2 of 2"), (chosen, "block 1 of 2"), (chosen, "block 2 of 2"))
    for asked, moment in killed:
        with pytest.raises(WorkerLost):
            _quantize(broken, base, samples, asked, Kill(moment))
    first, second = sorted((tmp_path / "broken.scratch" / STORE).iterdir())
    assert _times_taken(tmp_path) == {str(first.stem): 1}
    _scramble(first)
    again = _quantize(broken, base, samples, chosen)
    assert _times_taken(tmp_path) == {str(first.stem): 1, str(second.stem): 1}
    assert [(each.first, each.best) for each in again["blocks"]] == [
        (each.first, each.best) for each in facts["blocks"]
    ]
    assert _digests(broken) == _digests(whole)
    assert not (tmp_path / "broken.scratch" / STORE).exists()


def _times_taken(folder: Path) -> Counter[str]:
    """How often each block was taken from the store, by the logs of all runs."""
    log = (folder / "broken.scratch" / LOG).read_text()
    return Counter(re.findall(r"(\S+) is taken from an earlier run", log))


def _scramble(path: Path) -> None:
    """Flip bits of the second half of a file, where codes and drops are."""
    damaged = bytearray(path.read_bytes())
    for place in range(len(damaged) // 2, len(damaged), 50):
        damaged[place] ^= 0x77
    path.write_bytes(damaged)


def test_losses_are_autorounds_in_less_than_half_the_time(
    base: Path, samples: Path, tmp_path: Path
) -> None:
    """On copies of the same blocks: the same first loss, best losses within 1%, over two times.

    One thread, so that other work on the machine does not decide the ratio.
    """
    rows = []
    for seed in (1, 2, 3):
        command = [sys.executable, "-m", "tests.bench.side_by_side", str(base)]
        command += ["--samples", str(samples), "--out", str(tmp_path / "out"), "--iters", "12"]
        done = subprocess.run(
            [*command, "--seed", str(seed), "--blocks", "2"],
            env=environment(tmp_path) | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path.cwd())},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        rows += [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert len(rows) == 6
    assert all(row["fused"]["first"] == row["bare"]["first"] for row in rows)
    ratios = [row["fused"]["best"] / row["bare"]["best"] for row in rows]
    assert sum(ratios) / len(ratios) == pytest.approx(1, abs=0.01)
    assert {row["attention"] for row in rows} == {"sliding_attention", "full_attention"}
    fastest = {name: min(row[name]["seconds"] for row in rows) for name in ("bare", "fused")}
    assert fastest["bare"] / fastest["fused"] > RATIO


def test_a_run_killed_at_a_random_moment_ends_with_the_same_bytes(
    base: Path, samples: Path, recipe: Make, tmp_path: Path
) -> None:
    """One of the kills that `python -m tests.bench.kills` makes ten of, on the demo's base."""
    subject = Subject(tmp_path, base, samples, recipe(tuning__tuner="fused", tuning__iters=10))
    wanted, seconds = undisturbed(subject)
    seed = random.SystemRandom().randrange(1 << 32)
    moment = random.Random(seed).uniform(0.3, 1) * seconds  # noqa: S311 - no secret
    print(f"seed {seed}, {moment:.1f} s of {seconds:.1f}")  # noqa: T201 - for a failure's report
    killed = kill_once(subject, moment, wanted)
    assert killed.same, killed
