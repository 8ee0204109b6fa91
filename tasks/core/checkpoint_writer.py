"""Writes safetensors checkpoints as a stream: memory holds one piece of one tensor at a time.

Tensors of a shard are ordered by the size of their elements, largest first, and the header is
padded to 8 bytes, so that every tensor is aligned (as the safetensors library does it). Equal
pieces give equal files.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tasks.core.checkpoint import INDEX, PREFIX
from tasks.core.digest import indented_json
from tasks.core.errors import IntegrityError, RecipeError
from tasks.core.schemes import DTYPE_BYTES, TensorSpec

METADATA = {"format": "pt"}
ALIGNMENT = 8
FAR = 10**13
"""An offset longer than any real one: bounds the header before the offsets are known."""


@dataclass(frozen=True)
class Piece:
    """A tensor to write: its name, its spec, and a call that gives its bytes in chunks."""

    name: str
    spec: TensorSpec
    chunks: Callable[[], Iterable[bytes]]


def write_checkpoint(
    folder: Path,
    pieces: Sequence[Piece],
    max_shard_bytes: int,
    on_bytes: Callable[[int], None] = lambda _: None,
) -> None:
    """Write shards `model-0000x-of-0000n.safetensors` and their index.

    Args:
        folder: takes the files.
        pieces: all tensors, in the order in which shards are filled.
        max_shard_bytes: most bytes of one file, its header included.
        on_bytes: called with the size of each chunk that was written.

    Raises:
        RecipeError: a tensor does not fit into a shard by itself.
        IntegrityError: a tensor's source gave other than the bytes its spec says.
    """
    shards = _fill(pieces, max_shard_bytes)
    weight_map: dict[str, str] = {}
    for number, shard in enumerate(shards, start=1):
        file = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        _write_shard(folder / file, shard, on_bytes)
        weight_map |= {piece.name: file for piece in shard}
    index = {
        "metadata": {"total_size": sum(piece.spec.nbytes for piece in pieces)},
        "weight_map": dict(sorted(weight_map.items())),
    }
    (folder / INDEX).write_text(indented_json(index))


def _fill(pieces: Sequence[Piece], limit: int) -> list[list[Piece]]:
    empty = PREFIX + len(_header([])) + ALIGNMENT
    shards: list[list[Piece]] = []
    room = 0
    for piece in pieces:
        need = piece.spec.nbytes + len(json.dumps({piece.name: _entry(piece.spec, FAR)}))
        if need > room:
            shards.append([])
            room = limit - empty
        if need > room:
            raise RecipeError(
                f"tensor {piece.name} does not fit into a shard",
                expected=f"max_shard_bytes of at least {need + empty}",
                found=str(limit),
                remedy="raise max_shard_bytes in the recipe",
            )
        shards[-1].append(piece)
        room -= need
    return [sorted(shard, key=lambda p: -DTYPE_BYTES[p.spec.dtype]) for shard in shards]


def _entry(spec: TensorSpec, begin: int) -> dict[str, object]:
    offsets = [begin, begin + spec.nbytes]
    return {"dtype": spec.dtype, "shape": list(spec.shape), "data_offsets": offsets}


def _header(shard: Sequence[Piece]) -> bytes:
    entries: dict[str, object] = {"__metadata__": METADATA}
    at = 0
    for piece in shard:
        entries[piece.name] = _entry(piece.spec, at)
        at += piece.spec.nbytes
    raw = json.dumps(entries, separators=(",", ":")).encode()
    return raw + b" " * (-len(raw) % ALIGNMENT)


def _write_shard(path: Path, shard: Sequence[Piece], on_bytes: Callable[[int], None]) -> None:
    header = _header(shard)
    with path.open("wb") as stream:
        stream.write(len(header).to_bytes(PREFIX, "little") + header)
        for piece in shard:
            begin = stream.tell()
            for chunk in piece.chunks():
                stream.write(chunk)
                on_bytes(len(chunk))
            if stream.tell() - begin != piece.spec.nbytes:
                raise IntegrityError(
                    f"the source of tensor {piece.name} gave other than its bytes",
                    expected=f"{piece.spec.nbytes} bytes",
                    found=f"{stream.tell() - begin} bytes",
                )
