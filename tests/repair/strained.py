"""A base that computes what it did before, one of whose layers 4 bits harm.

A norm's channels, or an earlier layer's rows, are made larger and the columns that read them
smaller by the same power of two: exact in BF16. In every group of 16 of the layer's inputs one
value now stands far above the others, and what shares a scale with it is rounded to nothing. That
is what outliers do to large models, done to one place only.
"""

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from infra.local.base_model.build import build_trained

GROUP, TIMES = 16, 2.0**9
LAYER = "model.language_model.layers.{}"
PLACES = {
    "down": ("mlp.up_proj", ("mlp.down_proj",)),
    "mlp": ("pre_feedforward_layernorm", ("mlp.gate_proj", "mlp.up_proj")),
}
"""What is made larger, and what reads it."""
PLACE, NUMBER = "mlp", 0


def readers(place: str = PLACE, number: int = NUMBER) -> tuple[str, ...]:
    """Full names of the layers that are harmed, sorted."""
    return tuple(f"{LAYER.format(number)}.{name}" for name in PLACES[place][1])


def strain(folder: Path, place: str = PLACE, number: int = NUMBER) -> None:
    """Rescale a built base where it lies."""
    maker = f"{LAYER.format(number)}.{PLACES[place][0]}.weight"
    reading = {f"{name}.weight" for name in readers(place, number)}
    for path in folder.glob("*.safetensors"):
        tensors = load_file(path)
        for name in tensors.keys() & {maker, *reading}:
            if name == maker:
                tensors[name][::GROUP] *= TIMES
            else:
                tensors[name][:, ::GROUP] /= TIMES
        if not all(tensor.isfinite().all() for tensor in tensors.values()):
            raise ValueError(f"{path.name}: rescaling left the range of the weights")
        save_file(tensors, path, metadata={"format": "pt"})


def build_strained(folder: Path) -> None:
    """The trained base, strained."""
    build_trained(folder)
    with torch.no_grad():
        strain(folder)
