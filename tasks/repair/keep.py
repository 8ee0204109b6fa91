"""A checkpoint in which some quantized layers are the base's again; all else is byte for byte."""

import json
import shutil
from collections.abc import Collection, Iterable, Iterator
from functools import partial
from pathlib import Path

from tasks.core.checkpoint import INDEX, Checkpoint
from tasks.core.checkpoint_writer import Piece, write_checkpoint
from tasks.core.digest import indented_json
from tasks.core.errors import IntegrityError
from tasks.core.manifest import relative_files
from tasks.core.published import WEIGHTS
from tasks.core.schemes import PACKED, WEIGHT, packed_tensors

CONFIG = "config.json"
CHUNK = 1 << 24


def added_bytes(base: Checkpoint, candidate: Checkpoint, modules: Iterable[str]) -> int:
    """Bytes that a checkpoint grows by when it keeps these layers."""
    return sum(
        base.tensors[module + WEIGHT].nbytes
        - sum(candidate.tensors[name].nbytes for name in _packed(base, module))
        for module in modules
    )


def keep(
    folder: Path, base: Path, candidate: Path, modules: Collection[str], max_shard_bytes: int
) -> tuple[str, ...]:
    """Fill `folder` with the candidate, some of its layers as the base has them.

    Args:
        folder: takes the checkpoint; empty.
        base: folder of the base.
        candidate: folder of the checkpoint that is changed.
        modules: layers that are kept, by full name.
        max_shard_bytes: most bytes of one safetensors file.

    Returns:
        The new ignore list.

    Raises:
        IntegrityError: the candidate has no such packed layer.
    """
    original, packed = Checkpoint(base), Checkpoint(candidate)
    write_checkpoint(folder, list(_pieces(original, packed, modules)), max_shard_bytes)
    for path in relative_files(candidate):
        if not path.endswith(WEIGHTS) and path != INDEX:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(candidate / path, folder / path)
    config = json.loads((candidate / CONFIG).read_bytes())
    settings = config["quantization_config"]
    settings["ignore"] = [*settings["ignore"], *sorted(modules)]
    (folder / CONFIG).write_text(indented_json(config))
    return tuple(settings["ignore"])


def _pieces(base: Checkpoint, candidate: Checkpoint, modules: Collection[str]) -> Iterator[Piece]:
    """The candidate's tensors in its order; a kept layer's stand where its codes stood."""
    gone = {name for module in modules for name in _packed(base, module)}
    if missing := sorted(gone - set(candidate.tensors)):
        raise IntegrityError("a layer to keep is not packed", found=", ".join(missing[:4]))
    for name, spec in candidate.tensors.items():
        if name not in gone:
            yield Piece(name, spec, partial(candidate.chunks, name, CHUNK))
        elif name.endswith(f".{PACKED}"):
            whole = name.removesuffix(f".{PACKED}") + WEIGHT
            yield Piece(whole, base.tensors[whole], partial(base.chunks, whole, CHUNK))


def _packed(base: Checkpoint, module: str) -> list[str]:
    return list(packed_tensors(module, *base.tensors[module + WEIGHT].shape))
