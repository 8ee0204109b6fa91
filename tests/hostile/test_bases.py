"""Bases that somebody made to break us, on the Hub: each is refused by a plan, and says why."""

import json
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tasks.core.checkpoint import INDEX
from tasks.core.errors import PermanentError
from tasks.core.progress import Silent
from tasks.core.records import Hardware
from tasks.core.settings import Settings
from tasks.plan.plan import run
from tests.conftest import HubServer
from tests.finished_stages import randomly
from tests.small_base import CONFIG, base_files, local_recipe

ROOMY = Hardware(cpus=2, ram=64 << 30, disk_free=1 << 40)
ONE = "model-00001-of-00002.safetensors"
DEEP = b"[" * 200_000
Files = dict[str, bytes]


def framed(header: bytes, data: bytes = b"", length: int | None = None) -> bytes:
    """A safetensors file with whatever header."""
    return struct.pack("<Q", len(header) if length is None else length) + header + data


def shard(data: bytes = bytes(4), **entry: Any) -> bytes:
    """One with a single tensor, parts of whose entry are changed."""
    whole = {"dtype": "F16", "shape": [2], "data_offsets": [0, 4]} | entry
    return framed(json.dumps({"x": whole}).encode(), data)


def two(first: list[int], second: list[int]) -> bytes:
    """One with two tensors at these offsets in eight bytes."""
    entry = {"dtype": "F16", "shape": [2]}
    tensors = {n: entry | {"data_offsets": at} for n, at in (("x", first), ("y", second))}
    return framed(json.dumps(tensors).encode(), bytes(8))


SHARDS: dict[str, bytes] = {
    "empty": b"",
    "shorter than its prefix": b"\1\0\0",
    "no header": framed(b""),
    "a header longer than the file": framed(b"{}", length=9999),
    "a header of 2^63 bytes": framed(b"{}", length=1 << 63),
    "a header of nearly 2^64 bytes": framed(b"{}", length=(1 << 64) - 1),
    "no JSON": framed(b"not json at all"),
    "no UTF-8": framed(b'{"\xff\xfe": 1}'),
    "a list": framed(b"[]"),
    "a million brackets": framed(DEEP),
    "deep objects": framed(b'{"a":' * 100_000),
    "a key twice": framed(
        b'{"x":{"dtype":"F16","shape":[2],"data_offsets":[0,4]},'
        b'"x":{"dtype":"F16","shape":[2],"data_offsets":[0,4]}}',
        bytes(4),
    ),
    "overlapping tensors": two([0, 4], [2, 6]),
    "one range for two tensors": two([0, 4], [0, 4]),
    "a gap": two([0, 4], [6, 10]),
    "data beyond the end": two([0, 4], [4, 8_000_000]),
    "data that no tensor names": shard(bytes(64)),
    "negative offsets": shard(data_offsets=[-4, 0]),
    "offsets backwards": shard(data_offsets=[4, 0]),
    "offsets that are no numbers": shard(data_offsets=["0", "4"]),
    "three offsets": shard(data_offsets=[0, 2, 4]),
    "no offsets": shard(data_offsets=None),
    "an unknown dtype": shard(dtype="PICKLE"),
    "a dtype that is a list": shard(dtype=["F16"]),
    "a negative dimension": shard(shape=[-2]),
    "dimensions whose product is small again": shard(shape=[1 << 40, 1 << 40, 0, 2]),
    "a dimension that is true": shard(shape=[True, 2]),
    "a dimension that is a float": shard(shape=[2.0]),
    "a shape that is a word": shard(shape="2"),
    "a huge integer": framed(b'{"x":{"dtype":"F16","shape":[' + b"9" * 5000 + b"]}}"),
    "not a number": framed(b'{"x":{"dtype":"F16","shape":[NaN],"data_offsets":[0,4]}}', bytes(4)),
    "a pickle": b"\x80\x04\x95\x1f\0\0\0\0\0\0\0\x8c\x05posix\x94\x8c\x06system",
}
INDEXES: dict[str, bytes] = {
    "no JSON": b"{",
    "a list": b"[]",
    "no map": b"{}",
    "an empty map": b'{"weight_map": {}}',
    "a map that is a list": b'{"weight_map": ["a"]}',
    "a number for a shard": b'{"weight_map": {"x": 7}}',
    "a path out of the repository": b'{"weight_map": {"x": "../../etc/passwd"}}',
    "an absolute path": b'{"weight_map": {"x": "/etc/passwd"}}',
    "a path with backslashes": b'{"weight_map": {"x": "..\\\\..\\\\evil.safetensors"}}',
    "an address": b'{"weight_map": {"x": "http://127.0.0.1/x.safetensors"}}',
    "a shard that is missing": b'{"weight_map": {"x": "model-9.safetensors"}}',
    "a pickle for a shard": b'{"weight_map": {"x": "config.json"}}',
    "brackets": DEEP,
}
CONFIGS: dict[str, bytes] = {
    "empty": b"",
    "no JSON": b"architectures: [Gemma4]",
    "no UTF-8": b'{"architectures": ["\xff"]}',
    "a list": b"[]",
    "a word": b'"Gemma4ForConditionalGeneration"',
    "brackets": DEEP,
    "huge integer": b'{"architectures": ' + b"9" * 5000 + b"}",
    "no architecture": b"{}",
    "an architecture of another kind": b'{"architectures": [{"__class__": "os.system"}]}',
    "its own code": json.dumps(CONFIG | {"auto_map": {"AutoModel": "evil.Evil"}}).encode(),
    "its own code, as null": json.dumps(CONFIG | {"auto_map": None}).encode(),
    "quantized already": json.dumps(CONFIG | {"quantization_config": "x"}).encode(),
    "text settings that are a list": json.dumps(CONFIG | {"text_config": [1]}).encode(),
    "text settings that are null": json.dumps(CONFIG | {"text_config": None}).encode(),
    "a length that is a word": json.dumps(
        CONFIG | {"text_config": {"max_position_embeddings": "many"}}
    ).encode(),
    "a negative length": json.dumps(
        CONFIG | {"text_config": {"max_position_embeddings": -1}}
    ).encode(),
}
PICKLED: dict[str, Files] = {
    "pickles alone": {"pytorch_model.bin": b"\x80\x04."},
    "a checkpoint of another kind": {"model.ckpt": b"\x80\x04."},
    "nothing": {"notes.txt": b"nothing"},
}


def cases() -> Iterator[Any]:
    """Name and files of each base."""
    sound = base_files()
    for name, data in SHARDS.items():
        yield pytest.param(sound | {ONE: data}, id=f"shard: {name}")
    for name, data in INDEXES.items():
        yield pytest.param(sound | {INDEX: data}, id=f"index: {name}")
    for name, data in CONFIGS.items():
        yield pytest.param(sound | {"config.json": data}, id=f"config: {name}")
    for name, files in PICKLED.items():
        yield pytest.param(files, id=f"weights: {name}")


def plan(hub_server: HubServer, base: str, folder: Path) -> None:
    run(
        base,
        revision="main",
        recipe=local_recipe(folder / "data"),
        target="acme/out-NVFP4",
        hub=hub_server.hub(),
        store=None,
        settings=Settings(serve_python=Path(sys.executable)),
        home=folder / "home",
        reporter=Silent(),
        hardware=ROOMY,
    )


def test_a_sound_base_is_planned(hub_server: HubServer, tmp_path: Path) -> None:
    """What the hostile ones are changed from is accepted, so it is the change that is refused."""
    base = randomly("acme/sound")
    hub_server.seed(base, base_files())
    plan(hub_server, base, tmp_path)
    assert list(tmp_path.rglob("plan.json"))


@pytest.mark.parametrize("files", list(cases()))
def test_a_hostile_base_is_refused(hub_server: HubServer, tmp_path: Path, files: Files) -> None:
    """A PermanentError that says what was found; no plan is left, and nothing beside the home."""
    base = randomly("acme/hostile")
    hub_server.seed(base, files)
    with pytest.raises(PermanentError) as refused:
        plan(hub_server, base, tmp_path)
    assert base in str(refused.value) or "safetensors" in str(refused.value)
    assert len(str(refused.value)) < 3000
    assert not list(tmp_path.rglob("plan.json"))
    assert {path.name for path in tmp_path.iterdir()} <= {"data", "home"}
