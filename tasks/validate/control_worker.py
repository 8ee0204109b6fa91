"""Child process: a checkpoint with the base's weights rounded to nearest NVFP4.

python -m tasks.validate.control_worker JOB
"""

import shutil
import sys
from collections.abc import Iterator
from functools import lru_cache, partial
from pathlib import Path

import torch

from tasks.core.checkpoint import Checkpoint
from tasks.core.checkpoint_writer import Piece, write_checkpoint
from tasks.core.companions import companion_files
from tasks.core.jobs import serve
from tasks.core.schemes import (
    INPUT_GLOBAL,
    PACKED,
    SCALE,
    WEIGHT_GLOBAL,
    fused_groups,
    packed_tensors,
)
from tasks.kernels.nvfp4 import Packed, encode
from tasks.validate.control import Job, Result
from tasks.validate.packed import packed_modules

MAX_SHARD_BYTES = 4_800_000_000
CHUNK = 1 << 24
CONFIG = "config.json"


def weight(checkpoint: Checkpoint, module: str) -> torch.Tensor:
    """A base's weight, bfloat16 [out, in]."""
    name = f"{module}.weight"
    raw = torch.frombuffer(bytearray(checkpoint.read(name)), dtype=torch.bfloat16)
    return raw.reshape(checkpoint.tensors[name].shape)


class Rounding:
    """Gives the pieces of the control's checkpoint.

    Args:
        base: the base.
        candidate: says which layers are packed, and has the scales of their activations.
    """

    def __init__(self, base: Checkpoint, candidate: Checkpoint) -> None:
        self._base, self._candidate = base, candidate
        self.modules = packed_modules(candidate.where)
        self._scales = self._shared_scales()
        self._encoded = lru_cache(maxsize=1)(self._encode)

    def pieces(self) -> Iterator[Piece]:
        """Every tensor: the base's own, or the four of a packed layer."""
        packed = set(self.modules)
        for name, spec in self._base.tensors.items():
            module = name.removesuffix(".weight")
            if module not in packed:
                yield Piece(name, spec, partial(self._base.chunks, name, CHUNK))
                continue
            for full, stored in packed_tensors(module, *spec.shape).items():
                yield Piece(full, stored, partial(self._chunks, module, full))

    def _chunks(self, module: str, name: str) -> list[bytes]:
        part = name.rpartition(".")[2]
        if part == INPUT_GLOBAL:
            return [self._candidate.read(name)]
        if part == WEIGHT_GLOBAL:
            return [_raw(self._scales[module])]
        found = self._encoded(module)
        return [_raw({PACKED: found.codes, SCALE: found.scale}[part])]

    def _encode(self, module: str) -> Packed:
        return encode(weight(self._base, module), self._scales[module])

    def _shared_scales(self) -> dict[str, torch.Tensor]:
        scales = {m: encode(weight(self._base, m)).global_scale for m in self.modules}
        for group in fused_groups(self.modules):
            smallest = torch.stack([scales[module] for module in group]).amin(dim=0)
            scales |= dict.fromkeys(group, smallest)
        return scales


def _raw(tensor: torch.Tensor) -> bytes:
    return tensor.contiguous().view(torch.uint8).numpy().tobytes()


def round_to_nearest(job: Job) -> Result:
    """Write the control's checkpoint folder."""
    job.output.mkdir(parents=True)
    rounding = Rounding(Checkpoint(job.base), Checkpoint(job.candidate))
    write_checkpoint(job.output, list(rounding.pieces()), MAX_SHARD_BYTES)
    for name in companion_files(job.base):
        (job.output / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(job.base / name, job.output / name)
    shutil.copyfile(Path(job.candidate) / CONFIG, job.output / CONFIG)
    return Result(modules=len(rounding.modules))


if __name__ == "__main__":
    sys.exit(serve(Job, round_to_nearest))
