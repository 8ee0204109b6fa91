"""`tuner: autoround` is AutoRound's own algorithm."""

import json
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.core.checkpoint import Checkpoint
from tasks.core.progress import Silent
from tasks.core.recipe import Recipe
from tasks.quantize.launch import build, environment

pytestmark = pytest.mark.heavy
SEQLEN = 32
CAPTURE = """
import sys, torch
from auto_round.calib_dataset import get_dataloader
from safetensors.torch import save_file
from transformers import AutoTokenizer

base, rows, out = sys.argv[1:]
batches = get_dataloader(AutoTokenizer.from_pretrained(base), 32, rows, 42, 4, 8)
save_file({"input_ids": torch.cat([b["input_ids"] for b in batches]).int()}, out)
"""


def _python(folder: Path, *arguments: str) -> None:
    env = environment(folder) | {"HF_HOME": str(folder / "hf")}
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_tensors_are_those_of_the_command(
    base: Path, recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    """With the same samples and arguments, every tensor is the `auto-round` command's tensor."""
    words = ["river", "stone", "lamp", "winter", "copper", "market", "engine", "letter"]
    rng = random.Random(5)  # noqa: S311 - words, not secrets
    rows = [{"text": " ".join(rng.choices(words, k=40))} for _ in range(12)]
    dataset = tmp_path / "rows.jsonl"
    dataset.write_text("".join(json.dumps(row) + "\n" for row in rows))
    samples = tmp_path / "samples.safetensors"
    _python(tmp_path, "-c", CAPTURE, str(base), str(dataset), str(samples))
    command = (
        f"--model {base} --scheme NVFP4 --format auto_round --iters 2 --nsamples 8 "
        f"--seqlen {SEQLEN} --batch_size 4 --seed 42 --dataset {dataset} "
        f"--ignore_layers vision_tower,embed_vision,lm_head --output_dir {tmp_path / 'command'}"
    )
    _python(tmp_path, "-m", "auto_round", *command.split())

    chosen = recipe(
        calibration__seqlen=SEQLEN, calibration__image_samples=0, tuning__tuner="autoround"
    )
    facts = build(tmp_path / "ours", base, samples, chosen, tmp_path, Silent())
    (theirs,) = (tmp_path / "command").iterdir()
    ours, command_s = Checkpoint(tmp_path / "ours"), Checkpoint(theirs)
    assert ours.tensors == command_s.tensors
    assert [name for name in ours.tensors if ours.read(name) != command_s.read(name)] == []
    assert facts["samples_used"] == 8
    assert facts["saturation"] is None
