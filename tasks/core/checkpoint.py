"""safetensors checkpoints without torch: headers, index, raw bytes.

A safetensors file is: 8 bytes little-endian header length, the header as JSON (tensor name to
dtype, shape and data offsets, and `__metadata__`), the data. The strict checks here go beyond the
library's (duplicate keys, unknown dtypes), and the raw bytes let unquantized tensors be copied
without a cast. Source: the format's description at github.com/huggingface/safetensors.
"""

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from tasks.core.errors import IntegrityError
from tasks.core.schemes import DTYPE_BYTES, TensorSpec

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
MAX_HEADER = 100_000_000
PREFIX = 8


@dataclass(frozen=True)
class StoredTensor:
    """A tensor of a shard: its spec and where its bytes lie, counted from the file's start."""

    spec: TensorSpec
    begin: int
    end: int


def read_header(path: Path) -> dict[str, StoredTensor]:
    """Tensors of one shard, checked: the data are covered once, without gap or overlap.

    Raises:
        IntegrityError: truncated, not safetensors, or a header that breaks the format.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        prefix = stream.read(PREFIX)
        length = struct.unpack("<Q", prefix)[0] if len(prefix) == PREFIX else 0
        if not 2 <= length <= min(MAX_HEADER, size - PREFIX):  # noqa: PLR2004 - at least "{}"
            raise _broken(path, f"a header length of {length} in a file of {size} bytes")
        raw = stream.read(length)
    return parse_header(raw, data_bytes=size - PREFIX - length, path=path)


def parse_header(raw: bytes, data_bytes: int, path: Path) -> dict[str, StoredTensor]:
    """Tensors named by a header's bytes.

    Args:
        raw: the header, JSON.
        data_bytes: bytes of data that follow the header.
        path: for messages.

    Raises:
        IntegrityError: the header breaks the format.
    """
    try:
        entries = json.loads(raw, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise _broken(path, str(error)) from None
    if not isinstance(entries, dict):
        raise _broken(path, "a header that is no mapping")
    entries.pop("__metadata__", None)
    start = PREFIX + len(raw)
    tensors = {name: _tensor(name, entry, start, path) for name, entry in entries.items()}
    _covered_once(tensors, start, start + data_bytes, path)
    return tensors


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = dict(pairs)
    if len(names) != len(pairs):
        msg = "a key that stands twice"
        raise ValueError(msg)
    return names


def _tensor(name: str, entry: Any, start: int, path: Path) -> StoredTensor:
    try:
        spec = TensorSpec(entry["dtype"], tuple(entry["shape"]))
        begin, end = entry["data_offsets"]
        sound = (
            spec.dtype in DTYPE_BYTES
            and all(type(n) is int and n >= 0 for n in (*spec.shape, begin, end))
            and end - begin == spec.nbytes
        )
    except (KeyError, TypeError, ValueError):
        sound = False
    if not sound:
        raise _broken(path, f"tensor {name!r} described as {entry!r:.200}")
    return StoredTensor(spec, start + begin, start + end)


def _covered_once(tensors: dict[str, StoredTensor], start: int, stop: int, path: Path) -> None:
    at = start
    for name, tensor in sorted(tensors.items(), key=lambda item: (item[1].begin, item[1].end)):
        if tensor.begin != at:
            raise _broken(path, f"a gap or overlap before tensor {name!r}")
        at = tensor.end
    if at != stop:
        raise _broken(path, f"{stop - start} bytes of data where the header names {at - start}")


def _broken(path: Path, found: str) -> IntegrityError:
    return IntegrityError(
        f"{path} is not a whole safetensors file",
        expected="a header that covers the data exactly once",
        found=found,
        remedy="fetch or make the file again",
    )


class Checkpoint:
    """A folder of safetensors shards, with or without an index.

    Args:
        folder: holds `model.safetensors.index.json`, or `model.safetensors` alone.

    Attributes:
        shards: file names, sorted.
        where: shard of each tensor, by tensor name.

    Raises:
        IntegrityError: a shard is missing or broken, or the index and the shards disagree.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        weight_map = self._index()
        self.shards = sorted(set(weight_map.values())) if weight_map else [SINGLE]
        self._headers = {shard: read_header(self._path(shard)) for shard in self.shards}
        self.where = {name: s for s, header in self._headers.items() for name in header}
        if sum(map(len, self._headers.values())) != len(self.where):
            raise _broken(folder, "a tensor that lies in two shards")
        if weight_map is not None and weight_map != self.where:
            differing = sorted(set(weight_map.items()) ^ set(self.where.items()))[:4]
            raise _broken(folder / INDEX, f"an index that disagrees with the shards: {differing}")

    def _index(self) -> dict[str, str] | None:
        path = self.folder / INDEX
        if not path.is_file():
            return None
        try:
            weight_map = json.loads(path.read_bytes())["weight_map"]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise _broken(path, f"no weight_map: {error}") from None
        if not isinstance(weight_map, dict) or not all(map(_plain_name, weight_map.values())):
            raise _broken(path, "shards named outside the folder")
        return weight_map

    def _path(self, shard: str) -> Path:
        path = self.folder / shard
        if not path.is_file():
            raise IntegrityError(f"{self.folder} lacks the shard {shard}", found="no such file")
        return path

    @property
    def tensors(self) -> dict[str, TensorSpec]:
        """Spec of every tensor, by name."""
        return {n: t.spec for header in self._headers.values() for n, t in header.items()}

    def __contains__(self, name: str) -> bool:
        return name in self.where

    def stored(self, name: str) -> tuple[Path, StoredTensor]:
        """The shard that holds a tensor, and where in it."""
        shard = self.where[name]
        return self.folder / shard, self._headers[shard][name]

    def read(self, name: str) -> bytes:
        """The raw little-endian bytes of a tensor; raises as `chunks` does."""
        return b"".join(self.chunks(name))

    def chunks(self, name: str, size: int = 1 << 24) -> Iterator[bytes]:
        """The raw bytes of a tensor in pieces of at most `size` bytes.

        Raises:
            IntegrityError: the shard was cut short after its header was read.
        """
        path, tensor = self.stored(name)
        with path.open("rb") as stream:
            stream.seek(tensor.begin)
            left = tensor.end - tensor.begin
            while left:
                piece = stream.read(min(size, left))
                if not piece:
                    raise _broken(path, f"an end {left} bytes before that of tensor {name!r}")
                left -= len(piece)
                yield piece


def _plain_name(shard: Any) -> bool:
    return isinstance(shard, str) and PurePosixPath(shard).name == shard and "\\" not in shard
