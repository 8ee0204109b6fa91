"""The share of image tokens' activation values that static scales cut off."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from tasks.core.recipe import Recipe
from tasks.quantize.accounting import Batch, read_batches
from tasks.quantize.launch import make_job
from tasks.quantize.saturation import measure


@pytest.fixture(scope="module")
def model(base: Path) -> Any:
    """The base in float32, with a vision embedding that has one channel far too loud."""
    from transformers import Gemma4ForConditionalGeneration

    loud: Any = Gemma4ForConditionalGeneration.from_pretrained(base, dtype=torch.float32)
    loud.eval()
    with torch.no_grad():
        loud.model.embed_vision.embedding_projection.weight[7].mul_(50)
    return loud


def _inputs(model: Any, batches: list[Batch], module: str) -> torch.Tensor:
    """A layer's input in all samples, [samples, tokens, width]: the naive way, kept whole."""
    kept: list[torch.Tensor] = []
    hook = model.get_submodule(module).register_forward_pre_hook(
        lambda _, inputs: kept.append(inputs[0])
    )
    with torch.no_grad():
        for batch in batches:
            model(**batch)
    hook.remove()
    return torch.cat(kept).abs()


def test_shares_are_those_of_counting_one_by_one(
    base: Path, model: Any, samples: Path, recipe: Callable[..., Recipe]
) -> None:
    """Both shares equal a naive count over whole activations, and mixing in images helps."""
    job = make_job(base, base, samples, recipe())
    batches = read_batches(samples, 4)
    assert job.image_token is not None
    found = measure(model, batches, job.modules, job.blocks, job.image_token, torch.device("cpu"))
    ids = torch.cat([batch["input_ids"] for batch in batches])
    counted = torch.zeros(2)
    total = 0
    for module in job.modules:
        values = _inputs(model, batches, module)
        for image in (1, 6):
            at_image = values[image][ids[image] == job.image_token]
            text = values[[0, 2, 3, 4, 5, 7]].max()
            others = values[[n for n in range(8) if n != image]].max()
            counted += torch.stack([(at_image > text).sum(), (at_image > others).sum()])
            total += at_image.numel()
    assert found is not None
    assert [found.text_only, found.mixed] == pytest.approx((counted / total).tolist())
    assert found.text_only > 2 * found.mixed > 0


def test_text_alone_has_no_saturation(
    base: Path, model: Any, tensors: Batch, tmp_path: Path, recipe: Callable[..., Recipe]
) -> None:
    """Without an image there is nothing to measure, and nothing is claimed."""
    save_file({"input_ids": tensors["input_ids"].clamp(200, 4000)}, tmp_path / "text.safetensors")
    job = make_job(base, base, tmp_path, recipe())
    batches = read_batches(tmp_path / "text.safetensors", 4)
    assert job.image_token is not None
    cpu = torch.device("cpu")
    assert measure(model, batches, job.modules, job.blocks, job.image_token, cpu) is None
