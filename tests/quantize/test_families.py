"""`tuner: fused` on blocks of other families; what it does not know goes to AutoRound."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasks.core.jobs import LOG
from tasks.core.progress import Silent
from tasks.core.recipe import Recipe
from tasks.quantize.launch import build
from tests.quantize.bases import make, sharing_gemma
from tests.quantize.bases import samples as make_samples

pytestmark = pytest.mark.heavy
LEFT = "left to AutoRound's tuner"
Chosen = Callable[..., Recipe]


def _quantize(folder: Path, model: Path, chosen: Recipe) -> tuple[dict[str, Any], str]:
    """The facts of a run, and its log."""
    wanted = chosen.calibration
    samples = make_samples(folder / "samples.safetensors", wanted.nsamples, wanted.seqlen)
    made = build(folder / "out", model, samples, chosen, folder, Silent())
    return made, (folder / LOG).read_text()


@pytest.fixture
def small(recipe: Chosen) -> Recipe:
    """A few steps on a few samples."""
    return recipe(
        tuning__tuner="fused",
        tuning__iters=4,
        calibration__nsamples=4,
        calibration__seqlen=32,
        calibration__image_samples=0,
    )


@pytest.mark.parametrize("family", ["Llama", "Qwen3"])
def test_plain_decoders_are_tuned(family: str, base: Path, small: Recipe, tmp_path: Path) -> None:
    """Every block of Llama and of Qwen 3 is tuned by us, and gets no worse."""
    made, log = _quantize(tmp_path, make(tmp_path / "base", base, family), small)
    assert "tuner fused" in log
    assert LEFT not in log
    assert len(made["blocks"]) == 2
    assert all(loss.best <= loss.first for loss in made["blocks"])


def test_blocks_that_share_keys_and_values_are_tuned(
    base: Path, small: Recipe, tmp_path: Path
) -> None:
    """So is every block of a Gemma 4 with shared keys and values and inputs of each layer."""
    model = sharing_gemma(tmp_path / "base", base, layers=8, shared=4)
    made, log = _quantize(tmp_path, model, small)
    assert LEFT not in log
    assert len(made["blocks"]) == 8
    assert all(loss.best <= loss.first for loss in made["blocks"])


def test_experts_are_left_to_autoround(base: Path, small: Recipe, tmp_path: Path) -> None:
    """A mixture of experts is quantized too, by AutoRound, and the log says why."""
    experts = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
    model = make(tmp_path / "base", base, "Qwen3Moe", **experts)
    chosen = small.model_copy(update={"keep": (*small.keep, r".*\.mlp\.gate")})
    made, log = _quantize(tmp_path, model, chosen)
    assert f"{LEFT}: it has experts" in log
    assert len(made["blocks"]) == 2
