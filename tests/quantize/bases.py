"""Small bases with random weights, of several families, with the demo's tokenizer."""

import shutil
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import save_file

TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
VOCABULARY = 4096


def make(folder: Path, tokenizer: Path, family: str, **config: Any) -> Path:
    """A base of a family, in shards of at most 64 MB.

    Args:
        folder: takes the base.
        tokenizer: folder of a base whose tokenizer to take.
        family: name of the family's classes in transformers, such as `Llama`.
        config: of the text model; what is not given is small.
    """
    small: dict[str, Any] = {
        "vocab_size": VOCABULARY,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "max_position_embeddings": 512,
        "tie_word_embeddings": False,
    }
    chosen = getattr(transformers, f"{family}Config")(**small | config)
    torch.manual_seed(5)
    model = getattr(transformers, f"{family}ForCausalLM")(chosen).bfloat16()
    model.save_pretrained(folder, max_shard_size="64MB")
    for name in TOKENIZER:
        shutil.copyfile(tokenizer / name, folder / name)
    return folder


def samples(path: Path, count: int, seqlen: int) -> Path:
    """A calibration set of random tokens."""
    ids = torch.randint(200, VOCABULARY, (count, seqlen), generator=torch.manual_seed(3))
    save_file({"input_ids": ids.int()}, path)
    return path


def sharing_gemma(folder: Path, base: Path, layers: int, shared: int) -> Path:
    """A Gemma 4 whose last blocks take keys and values of earlier ones, with inputs of their own.

    Args:
        folder: takes the base.
        base: a Gemma 4 whose other files to take.
        layers: decoder blocks in all.
        shared: how many of them share.
    """
    from infra.local.base_model.architecture import save
    from infra.local.base_model.config import gemma4_config

    config: Any = gemma4_config(layers)
    config.text_config.num_kv_shared_layers = shared
    config.text_config.hidden_size_per_layer_input = 32
    config.text_config.vocab_size_per_layer_input = config.text_config.vocab_size
    torch.manual_seed(5)
    shutil.copytree(base, folder, ignore=shutil.ignore_patterns("*.safetensors*", "config.json"))
    save(transformers.Gemma4ForConditionalGeneration(config), folder)
    return folder
