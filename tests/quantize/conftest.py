"""The small base model with two decoder blocks, and calibration sets for it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from tasks.core.recipe import Recipe, load_recipe

NSAMPLES, SEQLEN, BATCH, ITERS = 8, 96, 4, 2


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a base with two decoder blocks: a sliding one and a full one."""
    from infra.local.base_model.build import build

    folder = tmp_path_factory.mktemp("base") / "model"
    build(folder, layers=2)
    return folder


@pytest.fixture(scope="session")
def tensors(base: Path) -> dict[str, torch.Tensor]:
    """A calibration set of random tokens; samples 1 and 6 start with an image."""
    from transformers import AutoProcessor

    loader: Any = AutoProcessor
    processor = loader.from_pretrained(base)
    pictures = [Image.linear_gradient("L"), Image.radial_gradient("L")]
    shown = [
        processor.apply_chat_template(
            [{"role": "user", "content": [{"type": "image", "image": each.convert("RGB")}]}],
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
        )
        for each in pictures
    ]
    ids = torch.randint(200, 4000, (NSAMPLES, SEQLEN), generator=torch.Generator().manual_seed(3))
    types = torch.zeros_like(ids)
    index = torch.tensor([1, 6])
    for number, each in zip(index, shown, strict=True):
        length = each["input_ids"].shape[1]
        ids[number, :length] = each["input_ids"][0]
        types[number, :length] = each["mm_token_type_ids"][0]
    return {
        "input_ids": ids.int(),
        "mm_token_type_ids": types.int(),
        "image.index": index.int(),
        "image.pixel_values": torch.cat([each["pixel_values"] for each in shown]),
        "image.image_position_ids": torch.cat([each["image_position_ids"] for each in shown]).int(),
    }


@pytest.fixture
def samples(tensors: dict[str, torch.Tensor], tmp_path: Path) -> Path:
    """The calibration set as a file."""
    save_file(tensors, tmp_path / "samples.safetensors")
    return tmp_path / "samples.safetensors"


@pytest.fixture
def recipe() -> Callable[..., Recipe]:
    """The demo's recipe in small; keyword arguments are values of the recipe by dotted key."""

    def make(**values: Any) -> Recipe:
        small: dict[str, Any] = {
            "calibration.nsamples": NSAMPLES,
            "calibration.seqlen": SEQLEN,
            "calibration.image_samples": 2,
            "tuning.batch_size": BATCH,
            "tuning.iters": ITERS,
        }
        return load_recipe("demo", small | {k.replace("__", "."): v for k, v in values.items()})

    return make
