"""A base of a few kilobytes, and a recipe and data to go with it: what a release reads, no more."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from tasks.core.progress import Silent
from tasks.core.recipe import Recipe, load_recipe

CONFIG: dict[str, Any] = {
    "architectures": ["Gemma4ForConditionalGeneration"],
    "model_type": "gemma4",
    "text_config": {"hidden_size": 32, "max_position_embeddings": 4096},
}
LAYERS = 2
LINEARS = {
    "self_attn.q_proj": (64, 32),
    "self_attn.k_proj": (32, 32),
    "self_attn.v_proj": (32, 32),
    "self_attn.o_proj": (32, 64),
    "mlp.gate_proj": (128, 32),
    "mlp.up_proj": (128, 32),
    "mlp.down_proj": (32, 128),
}
CARD = b"---\nlicense: gemma\n---\n# A small base\n"


def shapes() -> dict[str, tuple[int, ...]]:
    """Name and shape of each tensor."""
    named: dict[str, tuple[int, ...]] = {
        "model.language_model.embed_tokens.weight": (128, 32),
        "model.language_model.norm.weight": (32,),
        "model.vision_tower.encoder.layers.0.self_attn.q_proj.linear.weight": (48, 48),
        "model.embed_vision.embedding_projection.weight": (32, 48),
    }
    for layer in range(LAYERS):
        prefix = f"model.language_model.layers.{layer}"
        named[f"{prefix}.input_layernorm.weight"] = (32,)
        named |= {f"{prefix}.{name}.weight": shape for name, shape in LINEARS.items()}
    return named


def base_files(**config: Any) -> dict[str, bytes]:
    """Files of the base's repository, two shards; `config` changes config.json."""
    arrays = {name: np.full(shape, 0.5, np.float16) for name, shape in shapes().items()}
    names = sorted(arrays)
    halves = {"model-00001-of-00002.safetensors": names[::2]}
    halves["model-00002-of-00002.safetensors"] = names[1::2]
    shards = {file: save({n: arrays[n] for n in held}) for file, held in halves.items()}
    where = {name: file for file, held in halves.items() for name in held}
    return {
        **shards,
        "model.safetensors.index.json": json.dumps({"weight_map": where}).encode(),
        "config.json": json.dumps(CONFIG | config).encode(),
        "generation_config.json": b"{}",
        "tokenizer.json": b'{"version": "1.0"}',
        "tokenizer_config.json": b"{}",
        "chat_template.jinja": b"{{ messages }}",
        "processor_config.json": b"{}",
        "LICENSE": b"A licence.\n",
        "README.md": CARD,
    }


def local_recipe(folder: Path, rows: int = 32, **overrides: Any) -> Recipe:
    """The demo's recipe on text files in `folder`; keys of overrides use `__` for a dot."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("calibration", "heldout"):
        lines = [json.dumps({"text": f"{name} {row}"}) for row in range(rows)]
        (folder / f"{name}.jsonl").write_text("\n".join(lines))
    changes: dict[str, Any] = {
        "calibration.source": {"files": str(folder / "calibration.jsonl")},
        "calibration.images": None,
        "calibration.image_samples": 0,
        "validation.heldout": {"files": str(folder / "heldout.jsonl")},
        "validation.tasks": [],
        "validation.texts": 16,
    }
    changes |= {key.replace("__", "."): value for key, value in overrides.items()}
    return load_recipe("demo", changes)


class Listening(Silent):
    """A reporter that keeps what it is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.updates: list[tuple[float, str]] = []

    def note(self, message: str) -> None:
        """Keep the line."""
        self.notes.append(message)

    def update(self, fraction: float, message: str) -> None:
        """Keep the progress."""
        self.updates.append((fraction, message))
