"""A base, and a folder as AutoRound writes it for that base, without AutoRound's minutes.

The base is the small Gemma 4 with two tensors added that its class does not use, as some bases on
the Hub have them. The weights are rounded to nearest by `tasks.kernels.nvfp4`; every unquantized
tensor is FP32, as AutoRound saves it on processors without BF16 arithmetic.
"""

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from infra.local.base_model.build import build as build_base
from tasks.core.checkpoint import INDEX, Checkpoint
from tasks.core.checkpoint_writer import Piece, write_checkpoint
from tasks.core.recipe import Recipe, load_recipe
from tasks.core.schemes import TensorSpec, fused_groups, quantized_modules
from tasks.kernels.nvfp4 import encode

RECIPE: Recipe = load_recipe("demo")
UNUSED = {
    "model.mtp.projection.weight": torch.full((16, 32), 0.5, dtype=torch.bfloat16),
    "model.mtp.steps": torch.arange(5, dtype=torch.int64),
}
Stored = dict[str, tuple[TensorSpec, bytes]]


def make_base(folder: Path) -> None:
    """The two-layer model, its unused tensors in a shard of their own."""
    build_base(folder, layers=2)
    save_file(UNUSED, folder / "model-mtp.safetensors", metadata={"format": "pt"})
    index = json.loads((folder / INDEX).read_text())
    index["weight_map"] |= dict.fromkeys(UNUSED, "model-mtp.safetensors")
    index["metadata"]["total_size"] += sum(tensor.nbytes for tensor in UNUSED.values())
    (folder / INDEX).write_text(json.dumps(index))


def make_output(base: Path, folder: Path, rename: Callable[[str], str] = str) -> None:
    """What AutoRound leaves for `base`; `rename` maps the base's tensor names to its own."""
    folder.mkdir(parents=True)
    weights = _load(base)
    modules = quantized_modules(Checkpoint(base).tensors, RECIPE)
    tensors = {
        name: tensor.float() if tensor.is_floating_point() else tensor
        for name, tensor in weights.items()
        if name.removesuffix(".weight") not in modules and name not in UNUSED
    }
    for module, divisor in _shared_scales(weights, modules).items():
        packed = encode(weights[f"{module}.weight"], divisor)
        tensors |= {
            f"{module}.weight_packed": packed.codes,
            f"{module}.weight_scale": packed.scale,
            f"{module}.weight_global_scale": packed.global_scale,
            f"{module}.input_global_scale": torch.tensor([123.5]),
        }
    save_file({rename(n): t.clone() for n, t in tensors.items()}, folder / "model.safetensors")
    _write_beside(base, folder)


def _load(base: Path) -> dict[str, torch.Tensor]:
    return {n: t for path in base.glob("*.safetensors") for n, t in load_file(path).items()}


def _shared_scales(weights: dict[str, torch.Tensor], modules: list[str]) -> dict[str, torch.Tensor]:
    """A global scale for each module, the smallest of its group where vLLM fuses it."""
    scales = {module: encode(weights[f"{module}.weight"]).global_scale for module in modules}
    for group in fused_groups(modules):
        smallest = torch.stack([scales[module] for module in group]).amin(dim=0)
        scales |= dict.fromkeys(group, smallest)
    return scales


def _write_beside(base: Path, folder: Path) -> None:
    """AutoRound saves config and tokenizer files again, and its settings twice."""
    settings = {"quant_method": "auto-round", "bits": 4, "data_type": "nv_fp", "iters": 10}
    config = json.loads((base / "config.json").read_text())
    config |= {"dtype": "float32", "quantization_config": settings}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "quantization_config.json").write_text(json.dumps(settings))
    (folder / "tokenizer_config.json").write_text('{"rewritten": true}')
    shutil.copyfile(base / "tokenizer.json", folder / "tokenizer.json")


def load_stored(folder: Path) -> Stored:
    """Spec and bytes of every tensor of a checkpoint."""
    checkpoint = Checkpoint(folder)
    return {name: (spec, checkpoint.read(name)) for name, spec in checkpoint.tensors.items()}


def store(folder: Path, tensors: Stored, limit: int = RECIPE.max_shard_bytes) -> None:
    """Replace a checkpoint's shards and index."""
    for path in folder.glob("*.safetensors"):
        path.unlink()
    pieces = [Piece(n, spec, partial(iter, [raw])) for n, (spec, raw) in tensors.items()]
    write_checkpoint(folder, pieces, limit)
