"""Blocks are streamed: memory does not grow with depth, and nothing else changes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasks.core.progress import Silent
from tasks.core.recipe import Recipe
from tasks.quantize.launch import build
from tests.quantize.bases import make
from tests.quantize.bases import samples as make_samples

pytestmark = pytest.mark.heavy
WIDE = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_attention_heads": 12,
    "num_key_value_heads": 12,
    "head_dim": 64,
}
"""Blocks of 9 million parameters: 19 MB in BF16, 5 MB packed."""
SHARD = 10_000_000


def _peak(folder: Path, base: Path, recipe: Recipe, layers: int) -> int:
    deep = make(folder / f"base{layers}", base, "Llama", num_hidden_layers=layers, **WIDE)
    made = _quantize(folder / f"out{layers}", deep, recipe)
    assert len(made["blocks"]) == layers
    return int(made["peak_ram"])


def _quantize(out: Path, base: Path, recipe: Recipe) -> dict[str, Any]:
    scratch = out.with_name(f"{out.name}.scratch")
    scratch.mkdir()
    wanted = recipe.calibration
    samples = make_samples(scratch / "samples.safetensors", wanted.nsamples, wanted.seqlen)
    return build(out, base, samples, recipe, scratch, Silent())


def test_peak_memory_does_not_grow_with_depth(
    base: Path, recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    """Twice as many blocks, 0.2 GB of weights more, peak within 5%; each child measures itself."""
    chosen = recipe(
        calibration__nsamples=2,
        calibration__seqlen=64,
        calibration__image_samples=0,
        tuning__tuner="fused",
        tuning__iters=1,
        max_shard_bytes=SHARD,
    )
    shallow, deep = (_peak(tmp_path, base, chosen, layers) for layers in (12, 24))
    assert deep == pytest.approx(shallow, rel=0.05)
