"""A checkpoint's tensors from the headers of shards that stay on the Hub."""

import json
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tasks.clients.hub_files import HubFile
from tasks.core.checkpoint import INDEX, MAX_HEADER, PREFIX, SINGLE, StoredTensor, parse_header
from tasks.core.errors import BaseModelError, IntegrityError
from tasks.core.schemes import TensorSpec

FIRST = 128 * 1024
"""Bytes of the first request; most headers fit."""
READERS = 8
PICKLES = (".bin", ".pt", ".pth", ".pkl", ".ckpt")

ReadBytes = Callable[[str, int, int], bytes]
"""Path, number of bytes, start."""


@dataclass(frozen=True)
class RemoteCheckpoint:
    """A checkpoint on the Hub, known by its headers.

    Attributes:
        tensors: spec of every tensor, by name.
        where: shard of every tensor, by name.
        size: bytes of all shards.
    """

    tensors: dict[str, TensorSpec]
    where: dict[str, str]
    size: int


def weight_shards(
    repo: str, files: list[HubFile], read_index: Callable[[], bytes]
) -> list[HubFile]:
    """The safetensors shards of the model: those an index names, or `model.safetensors`.

    Args:
        repo: for messages.
        files: of the repository.
        read_index: gives the bytes of the index; asked only where there is one.

    Raises:
        BaseModelError: there are none.
        IntegrityError: the index is broken or names a shard that is not there.
    """
    by_path = {file.path: file for file in files}
    if INDEX in by_path:
        named = sorted(set(_weight_map(repo, read_index()).values()))
        if missing := [path for path in named if path not in by_path]:
            raise IntegrityError(
                f"{repo} lacks shards that its index names",
                found=f"no {', '.join(missing[:4])}",
                remedy="choose another revision; this one is not whole",
            )
        return [by_path[path] for path in named]
    if SINGLE in by_path:
        return [by_path[SINGLE]]
    pickles = [file.path for file in files if file.path.endswith(PICKLES)]
    raise BaseModelError(
        f"{repo} has no safetensors weights",
        expected=f"{SINGLE}, or shards with {INDEX}",
        found=f"pickle files: {', '.join(pickles[:4])}" if pickles else "no weights at all",
        remedy="choose a base in safetensors; pickle files can run code and are never loaded",
    )


def _weight_map(repo: str, index: bytes) -> dict[str, str]:
    try:
        found = json.loads(index)["weight_map"]
        sound = isinstance(found, dict) and all(isinstance(f, str) for f in found.values())
    except (ValueError, KeyError, TypeError, RecursionError):
        sound = False
    if not sound or not found:
        raise IntegrityError(f"{INDEX} of {repo} is broken", expected="a weight_map")
    return dict(found)


def read_checkpoint(repo: str, shards: list[HubFile], read: ReadBytes) -> RemoteCheckpoint:
    """All tensors of a repository's shards; nothing but the headers is read.

    Raises:
        IntegrityError: a header is broken or does not cover its file once, or a tensor lies in
            two shards.
    """
    with ThreadPoolExecutor(READERS) as pool:
        headers = list(pool.map(lambda shard: _header(repo, shard, read), shards))
    pairs = list(zip(shards, headers, strict=True))
    where = {name: shard.path for shard, header in pairs for name in header}
    if len(where) != sum(map(len, headers)):
        raise IntegrityError(f"{repo} has a tensor that lies in two shards")
    tensors = {name: stored.spec for header in headers for name, stored in header.items()}
    return RemoteCheckpoint(tensors, where, sum(shard.size for shard in shards))


def _header(repo: str, shard: HubFile, read: ReadBytes) -> dict[str, StoredTensor]:
    start = read(shard.path, FIRST, 0)
    length = struct.unpack("<Q", start[:PREFIX])[0] if len(start) >= PREFIX else 0
    if not 2 <= length <= min(MAX_HEADER, shard.size - PREFIX):  # noqa: PLR2004 - at least "{}"
        raise IntegrityError(
            f"{shard.path} of {repo} is not a whole safetensors file",
            found=f"a header length of {length} in a file of {shard.size} bytes",
            remedy="tell the base's owner, or choose another revision",
        )
    raw = start[PREFIX : PREFIX + length]
    if len(raw) < length:
        raw += read(shard.path, length - len(raw), PREFIX + len(raw))
    return parse_header(raw, shard.size - PREFIX - length, Path(shard.path))
