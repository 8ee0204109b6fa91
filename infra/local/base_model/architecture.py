"""Make the model: random weights from a seed, or the trained ones."""

import hashlib
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from transformers import Gemma4ForConditionalGeneration, GenerationConfig

from infra.local.base_model.config import BOS, PAD, STOP, gemma4_config

_DEVIATION = 0.02


def random_model(seed: int, layers: int = 8) -> Any:
    """Make a float32 Gemma4ForConditionalGeneration, each weight drawn from ``seed`` and its name.

    Gemma 4 multiplies queries and keys without dividing by the root of their width, so their
    norms start at width^-0.25 each, which gives the usual scale.
    """
    model: Any = Gemma4ForConditionalGeneration(gemma4_config(layers))
    model.float()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith(("q_norm.weight", "k_norm.weight")):
                weight.fill_(weight.numel() ** -0.25)
            elif weight.ndim > 1:
                weight.normal_(0.0, _DEVIATION, generator=_generator(seed, name))
            else:
                weight.fill_(1.0)
    model.tie_weights()
    return model


def trained_model(weights: Path) -> Any:
    """Load the committed weights: every ``*.safetensors`` of the folder.

    Raises:
        FileNotFoundError: the folder holds none.
        ValueError: the tensors are not exactly the architecture's.
    """
    files = sorted(weights.glob("*.safetensors"))
    if not files:
        raise FileNotFoundError(f"no trained weights in {weights}: build with --random, or train")
    state = {name: tensor for file in files for name, tensor in load_file(file).items()}
    model: Any = Gemma4ForConditionalGeneration(gemma4_config())
    missing, unexpected = model.load_state_dict(state, strict=False)
    # The output head is the embedding, so the files do not repeat it.
    if set(missing) - {"lm_head.weight"} or unexpected:
        raise ValueError(f"{weights} misses {missing} and has {unexpected} that do not belong")
    model.tie_weights()
    return model


def save(model: Any, folder: Path) -> None:
    """Write BF16 shards (three or more), config and generation config."""
    model = model.to(torch.bfloat16).eval()
    model.config.dtype = torch.bfloat16
    ids = {"bos_token_id": BOS, "eos_token_id": STOP, "pad_token_id": PAD}
    model.generation_config = GenerationConfig.from_dict({**ids, "do_sample": False})
    size = sum(weight.numel() for weight in model.parameters()) * 2
    model.save_pretrained(folder, max_shard_size=size // 3)


def _generator(seed: int, name: str) -> torch.Generator:
    digest = hashlib.sha256(f"{seed} {name}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
