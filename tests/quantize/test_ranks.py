"""Several ranks tune a block as one does, and send what the arithmetic says."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasks.core.checkpoint import Checkpoint
from tasks.core.jobs import run_job
from tasks.core.progress import Silent
from tasks.core.recipe import Recipe
from tasks.quantize.job import Result
from tasks.quantize.launch import WORKER, environment, make_job
from tasks.quantize.telemetry import Telemetry
from tests.quantize.rank import BATCH, HIDDEN, TOKENS

ITERATIONS = 12
FLOAT32 = 4
ACTIVATION = BATCH * TOKENS * HIDDEN * FLOAT32
"""Bytes of what is summed at a time: [batch, tokens, hidden]."""


def _tune(folder: Path, size: int, key_heads: int) -> list[dict[str, Any]]:
    """What each of `size` ranks says."""
    env = os.environ | {"GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    meeting = folder / f"meeting-{size}"
    command = [sys.executable, "-m", "tests.quantize.rank", str(meeting)]
    running = [
        subprocess.Popen(
            [*command, str(rank), str(size), "--key-heads", str(key_heads)],
            stdout=subprocess.PIPE, text=True, env=env,
        )
        for rank in range(size)
    ]  # fmt: skip
    said = [each.communicate(timeout=300)[0] for each in running]
    assert not any(each.returncode for each in running), said
    return [json.loads(each) for each in said]


@pytest.mark.parametrize(("size", "key_heads"), [(2, 4), (4, 4), (4, 2)])
def test_ranks_give_one_ranks_losses(tmp_path: Path, size: int, key_heads: int) -> None:
    """Loss curves agree within float rounding, and all ranks find the same.

    AutoRound's last rounding, whose rows they share out, gives each what it gives one alone.

    With two key heads four ranks cannot share out the attention, and each does all of it.

    A block of float32 sums three activations an iteration: after the output and the down
    projection, and in the backward pass the gradient to the input of gate and up. The last
    iteration has no backward pass. Rank 0 tells its loss, four bytes, and once whether the block is
    in the store.
    """
    (alone,) = _tune(tmp_path, 1, key_heads)
    ranks = _tune(tmp_path, size, key_heads)
    for each in ranks:
        assert each["losses"] == pytest.approx(alone["losses"], rel=1e-4)
        assert each["best"] == ranks[0]["best"]
        assert each["found"] == ranks[0]["found"]
        assert each["rounded"] == each["rounded alone"] == ranks[0]["rounded"]
        forward, backward = (2, 1) if key_heads % size == 0 else (1, 1)
        wanted = (forward * ITERATIONS + backward * (ITERATIONS - 1)) * ACTIVATION
        assert each["summed"] == wanted
        assert each["agreed"] == FLOAT32 * ITERATIONS + 1


@pytest.mark.heavy
@pytest.mark.parametrize("size", [2, 4])
def test_the_worker_starts_its_ranks(
    base: Path, samples: Path, recipe: Callable[..., Recipe], tmp_path: Path, size: int
) -> None:
    """Ranks of a whole run give one rank's losses, but for BF16's rounding, and its tensors."""
    chosen = recipe(tuning__tuner="fused")
    alone, together = (_worked(tmp_path / f"{n}", base, samples, chosen, n) for n in (1, size))
    for one, several in zip(alone, together, strict=True):
        assert several == pytest.approx(one, rel=1e-2)
    ours, theirs = (Checkpoint(tmp_path / f"{n}" / "out").tensors for n in (1, size))
    assert ours == theirs


def _worked(
    folder: Path, base: Path, samples: Path, recipe: Recipe, size: int
) -> list[tuple[float, float]]:
    """First and best loss of each block."""
    output = folder / "out"
    output.mkdir(parents=True)
    job = make_job(output, base, samples, recipe).model_copy(update={"ranks": size})
    telemetry = Telemetry(job.blocks, Silent())
    run_job(WORKER, job, Result, scratch=folder, env=environment(folder), on_line=telemetry.line)
    assert len(telemetry.losses) == 2
    return [(loss.first, loss.best) for loss in telemetry.losses]
