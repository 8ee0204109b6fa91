"""AutoRound itself, in its child process, on a base with two decoder blocks."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from safetensors.torch import save_file

from tasks.core.checkpoint import Checkpoint
from tasks.core.digest import sha256_file
from tasks.core.errors import QuantizeError, WorkerLost
from tasks.core.jobs import run_job
from tasks.core.manifest import relative_files
from tasks.core.progress import Silent
from tasks.core.recipe import Recipe
from tasks.core.records import Saturation
from tasks.core.schemes import PACKED
from tasks.quantize.job import Result
from tasks.quantize.launch import WORKER, build, environment, make_job

pytestmark = pytest.mark.heavy
Facts = dict[str, Any]
Make = Callable[..., Recipe]
KEPT = "model.language_model.layers.0.mlp.down_proj"


class Killer(Silent):
    """Kills the child with SIGKILL when its first block is done."""

    def update(self, fraction: float, message: str) -> None:  # noqa: ARG002 - a Reporter's
        """Look for the child among this process's descendants, and kill it."""
        if message.startswith("block 1 of 2"):
            for process in psutil.Process().children(recursive=True):
                command = process.cmdline()
                if "tasks.quantize.worker" in command and "tasks.core.guardian" not in command:
                    process.kill()


@pytest.fixture
def kept(recipe: Make) -> Recipe:
    """A recipe that keeps one layer of a block, beside those that the demo keeps."""
    return recipe(keep=[".*vision_tower.*", ".*embed_vision.*", ".*lm_head", KEPT])


def _digests(folder: Path) -> dict[str, str]:
    return {name: sha256_file(folder / name) for name in relative_files(folder)}


def test_a_killed_child_is_retried_to_the_same_bytes(
    base: Path, samples: Path, kept: Recipe, tmp_path: Path
) -> None:
    """SIGKILL is a transient loss; the next try starts clean and makes what one try makes.

    What it makes is every layer the recipe names and no other, from every sample.
    """
    wanted = make_job(base, base, samples, kept)

    def quantize(name: str, reporter: Silent) -> Facts:
        (tmp_path / "scratch").mkdir(exist_ok=True)
        return build(tmp_path / name, base, samples, kept, tmp_path / "scratch", reporter)

    with pytest.raises(WorkerLost, match="SIGKILL"):
        quantize("first", Killer())
    (tmp_path / "first" / "left.safetensors").write_bytes(b"of the lost child")
    facts = quantize("first", Silent())
    assert facts["samples_used"] == 8
    assert [loss.block for loss in facts["blocks"]] == list(wanted.blocks)
    assert Saturation.model_validate(facts["saturation"]).text_only >= 0
    packed = {name.removesuffix(f".{PACKED}") for name in Checkpoint(tmp_path / "first").tensors}
    assert packed & {*wanted.modules, *wanted.ignore} == set(wanted.modules)
    assert KEPT not in packed
    assert len(wanted.modules) == 12

    assert quantize("second", Silent())["samples_used"] == 8
    assert _digests(tmp_path / "second") == _digests(tmp_path / "first")


def test_a_lost_sample_ends_the_run(
    base: Path, tensors: dict[str, torch.Tensor], recipe: Make, tmp_path: Path
) -> None:
    """A batch that the base cannot read is an error with its reason, not a smaller set."""
    broken = {name: value.clone() for name, value in tensors.items()}
    broken["input_ids"][6, :12] = 300  # fewer image tokens than the picture has
    broken["mm_token_type_ids"][6, :12] = 0
    save_file(broken, tmp_path / "broken.safetensors")
    job = make_job(tmp_path / "out", base, tmp_path / "broken.safetensors", recipe())
    job.output.mkdir()
    unmeasured = job.model_copy(update={"image_token": None})
    with pytest.raises(QuantizeError, match="4 calibration samples did not reach") as caught:
        run_job(WORKER, unmeasured, Result, scratch=tmp_path, env=environment(tmp_path))
    assert "Image features and image tokens do not match" in caught.value.found
    assert not list(job.output.iterdir())
