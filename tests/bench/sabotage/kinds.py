"""The kinds of candidates: two honest ones, and what is done to the first to make the others."""

import random
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from tasks.core.schemes import packed_tensors
from tasks.kernels.nvfp4 import encode, pack, unpack
from tests.fake_release import load_stored, store

Tensors = dict[str, torch.Tensor]
Sabotage = Callable[[Path, random.Random], None]


def read(folder: Path) -> Tensors:
    """All tensors of a checkpoint."""
    return {n: t for path in folder.glob("*.safetensors") for n, t in load_file(path).items()}


def change(folder: Path, changed: Tensors) -> None:
    """Replace tensors where they lie."""
    for path in folder.glob("*.safetensors"):
        tensors = load_file(path)
        tensors |= {name: changed[name].contiguous() for name in tensors if name in changed}
        save_file(tensors, path, metadata={"format": "pt"})


def swap_scales(folder: Path, rng: random.Random) -> None:
    """The scales of one block's gate and up projections change places."""
    tensors = read(folder)
    gate = rng.choice([n for n in tensors if n.endswith("gate_proj.weight_scale")])
    up = gate.replace("gate_proj", "up_proj")
    change(folder, {gate: tensors[up], up: tensors[gate]})


def scale_activations(folder: Path, _: random.Random) -> None:
    """Every scale of activations is four times what it should be: large values are cut off."""
    tensors = read(folder)
    change(folder, {n: t * 4 for n, t in tensors.items() if n.endswith("input_global_scale")})


def one_bit_less(folder: Path, _: random.Random) -> None:
    """Every second code is not used: three bits a weight."""
    tensors = read(folder)
    changed = {}
    for name, tensor in tensors.items():
        if name.endswith("weight_packed"):
            codes = unpack(tensor)
            changed[name] = pack((codes & 8) | ((codes & 7) + 1).clamp_max(7) // 2 * 2)
    change(folder, changed)


def garbage_rounding(folder: Path, rng: random.Random) -> None:
    """Codes of one block are rounded up or down by chance."""
    tensors = read(folder)
    names = [n for n in tensors if n.endswith("weight_packed")]
    block = rng.choice(names).partition(".layers.")[2].partition(".")[0]
    draw = torch.Generator().manual_seed(rng.randrange(1 << 30))
    changed = {}
    for name in names:
        if f".layers.{block}." in name:
            codes = unpack(tensors[name])
            step = torch.randint(-1, 2, codes.shape, generator=draw)
            size = ((codes & 7).int() + step).clamp(0, 7).to(torch.uint8)
            changed[name] = pack((codes & 8) | size)
    change(folder, changed)


def unequal_fused(folder: Path, rng: random.Random) -> None:
    """One query projection has a global scale of its own."""
    tensors = read(folder)
    name = rng.choice([n for n in tensors if n.endswith("q_proj.weight_global_scale")])
    change(folder, {name: tensors[name] * 1.5})


def _pack_too(folder: Path, wanted: Callable[[str], bool], rng: random.Random) -> None:
    """Quantize one more tensor that the recipe keeps."""
    stored = load_stored(folder)
    name = rng.choice([n for n, (spec, _) in stored.items() if wanted(n) and len(spec.shape) == 2])
    spec, raw = stored.pop(name)
    weight = torch.frombuffer(bytearray(raw), dtype=torch.bfloat16).reshape(spec.shape)
    packed, module = encode(weight), name.removesuffix(".weight")
    parts = (*packed, torch.tensor([1.0]))
    for (full, kind), part in zip(packed_tensors(module, *spec.shape).items(), parts, strict=True):
        stored[full] = kind, part.contiguous().view(torch.uint8).numpy().tobytes()
    store(folder, stored)


def _append(name: str, words: str) -> Sabotage:
    def sabotage(folder: Path, _: random.Random) -> None:
        path = folder / name
        path.write_text(path.read_text() + words)

    return sabotage


def _replace(name: str, old: str, new: str) -> Sabotage:
    def sabotage(folder: Path, _: random.Random) -> None:
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new))

    return sabotage


TEMPLATE = "chat_template.jinja"
HONEST, TUNED = "honest, rounded to nearest", "honest, tuned"
SABOTAGES: dict[str, Sabotage] = {
    "one layer's scales swapped": swap_scales,
    "activation scales off by 4": scale_activations,
    "one bit less": one_bit_less,
    "one block of garbage rounding": garbage_rounding,
    "a fused global scale unequal": unequal_fused,
    "vision tower quantized": partial(
        lambda folder, rng: _pack_too(folder, lambda n: "vision_tower" in n and "proj" in n, rng)
    ),
    "lm_head (tied embedding) quantized": partial(
        lambda folder, rng: _pack_too(folder, lambda n: n.endswith("embed_tokens.weight"), rng)
    ),
    "chat template drifted": _append(TEMPLATE, " "),
    "tool-call format broken": _replace(TEMPLATE, "tool_call", "toolcall"),
    "a tokenizer file changed": _replace("tokenizer.json", '"version"', '"versions"'),
}
KINDS = [HONEST, TUNED, *SABOTAGES]
SHORT = {"honest": HONEST, "tuned": TUNED} | {name: name for name in SABOTAGES}
"""What the command line calls them."""
