"""A base of gemma-4-31B's block shapes with random weights, for measuring alone."""

import math
from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers import Gemma4Config, Gemma4ForConditionalGeneration

from infra.local.base_model.config import BOS, EOS, PAD, gemma4_config
from infra.local.base_model.processor import processor

SLIDING, FULL = "sliding_attention", "full_attention"
DEVIATION, SPREAD = 0.02, 0.3
"""Of weights, and of the logarithm of their input channels' sizes."""


class Shape(NamedTuple):
    """Dimensions of a Gemma 4 text model's blocks."""

    hidden_size: int
    intermediate_size: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    global_head_dim: int
    num_global_key_value_heads: int
    sliding_window: int


GEMMA_4_31B = Shape(5376, 21504, 32, 16, 256, 512, 4, 1024)
TINY = Shape(128, 512, 4, 2, 32, 64, 1, 64)


def layers(shape: Shape, kind: str) -> dict[str, tuple[int, int]]:
    """Shapes [out, in] of the linear layers of a block; full blocks have no value layer."""
    wide = kind == FULL
    head = shape.global_head_dim if wide else shape.head_dim
    keys = shape.num_global_key_value_heads if wide else shape.num_key_value_heads
    width, inner, queries = shape.hidden_size, shape.intermediate_size, shape.num_attention_heads
    made = {
        "q_proj": (queries * head, width),
        "k_proj": (keys * head, width),
        "o_proj": (width, queries * head),
        "gate_proj": (inner, width),
        "up_proj": (inner, width),
        "down_proj": (width, inner),
    }
    return made if wide else made | {"v_proj": made["k_proj"]}


def build(folder: Path, shape: Shape, kinds: tuple[str, ...], device: torch.device) -> None:
    """Write a base with these decoder blocks.

    Args:
        folder: takes the base.
        shape: of its text blocks.
        kinds: attention of each block.
        device: where the weights are drawn.
    """
    torch.manual_seed(0)
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device(device):
            model: Any = Gemma4ForConditionalGeneration(_config(shape, kinds))
    finally:
        torch.set_default_dtype(default)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            _draw(name, weight)
    model.tie_weights()
    model.to(torch.bfloat16).cpu().save_pretrained(folder, max_shard_size="4GB")
    processor().save_pretrained(folder)


def _config(shape: Shape, kinds: tuple[str, ...]) -> Gemma4Config:
    """The demo's configuration with another text model."""
    settings: dict[str, Any] = gemma4_config(len(kinds)).to_dict()
    text = settings["text_config"]
    same = ("vocab_size", "vocab_size_per_layer_input", "final_logit_softcapping")
    settings["text_config"] = {
        **{name: text[name] for name in same},
        **shape._asdict(),
        "num_hidden_layers": len(kinds),
        "layer_types": list(kinds),
        "attention_k_eq_v": True,
        "hidden_size_per_layer_input": 0,
        "num_kv_shared_layers": 0,
        "max_position_embeddings": 4096,
        "tie_word_embeddings": True,
        "pad_token_id": PAD,
        "eos_token_id": EOS,
        "bos_token_id": BOS,
        "dtype": "bfloat16",
    }
    made: Gemma4Config = Gemma4Config.from_dict(settings)
    return made


def _draw(name: str, weight: torch.Tensor) -> None:
    """Normal weights whose input channels differ in size; norms as Gemma 4 starts them."""
    if name.endswith(("q_norm.weight", "k_norm.weight")):
        weight.fill_(weight.numel() ** -0.25)
    elif weight.ndim == 2:
        channels = torch.empty(weight.shape[1], device=weight.device).normal_(0.0, SPREAD).exp()
        weight.normal_(0.0, DEVIATION / math.exp(SPREAD**2)).mul_(channels)
    elif weight.ndim > 1:
        weight.normal_(0.0, DEVIATION)
    else:
        weight.fill_(1.0)
