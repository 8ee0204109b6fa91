"""safetensors without torch: what the library accepts is read alike, what is broken is refused."""

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError, deserialize
from safetensors.torch import load_file, save_file

from tasks.core.checkpoint import INDEX, Checkpoint, parse_header, read_header
from tasks.core.checkpoint_writer import Piece, write_checkpoint
from tasks.core.errors import IntegrityError, RecipeError
from tasks.core.schemes import DTYPE_BYTES, TensorSpec

NOWHERE = Path("shard")
shapes = st.lists(st.integers(0, 5), max_size=3).map(tuple)
specs = st.builds(TensorSpec, st.sampled_from(sorted(DTYPE_BYTES)), shapes)
checkpoints = st.dictionaries(st.text(min_size=1, max_size=12), specs, max_size=8).filter(
    lambda tensors: "__metadata__" not in tensors
)


def _deserialize(raw: bytes) -> list[tuple[str, dict[str, Any]]]:
    """The safetensors library's own reader, which is untyped."""
    return list(deserialize(raw))  # type: ignore[no-untyped-call]


def _content(name: str, spec: TensorSpec) -> bytes:
    return (name.encode(errors="replace") * spec.nbytes)[: spec.nbytes]


def _pieces(tensors: dict[str, TensorSpec], size: int = 1 << 20) -> list[Piece]:
    def chunks(name: str, spec: TensorSpec) -> Callable[[], list[bytes]]:
        raw = _content(name, spec)
        return lambda: [raw[at : at + size] for at in range(0, len(raw), size)]

    return [Piece(name, spec, chunks(name, spec)) for name, spec in tensors.items()]


def _bytes(header: object, data: bytes = b"") -> bytes:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(raw)) + raw + data


def _entry(begin: int, end: int, shape: Any = None, dtype: str = "U8") -> dict[str, Any]:
    shape = [end - begin] if shape is None else shape
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


@settings(deadline=None)
@given(tensors=checkpoints, limit=st.integers(900, 4000))
def test_what_is_written_reads_back(
    tmp_path_factory: pytest.TempPathFactory, tensors: dict[str, TensorSpec], limit: int
) -> None:
    """Any tensors come back with name, spec and bytes, from shards within the limit.

    The safetensors library, which wants whole coverage too, accepts each shard.
    """
    assume(tensors)
    folder = tmp_path_factory.mktemp("checkpoint")
    try:
        write_checkpoint(folder, _pieces(tensors, size=7), limit)
    except RecipeError:
        assert any(spec.nbytes > limit - 400 for spec in tensors.values())
        return
    checkpoint = Checkpoint(folder)
    assert checkpoint.tensors == tensors
    for name, spec in tensors.items():
        assert checkpoint.read(name) == _content(name, spec)
        assert b"".join(checkpoint.chunks(name, 3)) == _content(name, spec)
        _, stored = checkpoint.stored(name)
        assert stored.begin % DTYPE_BYTES[spec.dtype] == 0
    for shard in checkpoint.shards:
        raw = (folder / shard).read_bytes()
        assert len(raw) <= limit
        assert {name for name, _ in _deserialize(raw)} <= tensors.keys()


@settings(deadline=None, max_examples=300)
@given(raw=st.binary(max_size=120), data=st.integers(0, 64))
def test_any_bytes_are_read_or_refused(raw: bytes, data: int) -> None:
    """No header makes the parser fail in another way than its own error."""
    try:
        parse_header(raw, data, NOWHERE)
    except IntegrityError:
        return


scalars = st.none() | st.booleans() | st.integers(-2, 40) | st.floats(0, 9) | st.just("U8")
keys = st.sampled_from(["a", "dtype", "shape", "data_offsets"])
json_values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=12,
)


@settings(deadline=None, max_examples=500)
@given(
    entries=st.dictionaries(
        st.sampled_from(["a", "b", "c"]),
        st.fixed_dictionaries(
            {
                "dtype": st.sampled_from(["U8", "BF16", "X"]),
                "shape": st.lists(st.integers(0, 3), max_size=2),
                "data_offsets": st.tuples(st.integers(0, 8), st.integers(0, 8)).map(list),
            }
        )
        | json_values,
        max_size=3,
    ),
    data=st.integers(0, 12),
)
def test_what_is_accepted_the_library_accepts(entries: dict[str, Any], data: int) -> None:
    """No header passes here that the safetensors library refuses."""
    raw = json.dumps(entries).encode()
    try:
        tensors = parse_header(raw, data, NOWHERE)
    except IntegrityError:
        return
    theirs = dict(_deserialize(_bytes(raw, bytes(data))))
    assert theirs.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert theirs[name]["shape"] == list(tensor.spec.shape)
        assert len(theirs[name]["data"]) == tensor.end - tensor.begin


BROKEN: dict[str, bytes] = {
    "empty file": b"",
    "no header": struct.pack("<Q", 100) + b"{}",
    "giant header": struct.pack("<Q", 1 << 62) + b"{}",
    "not JSON": _bytes(b"{'a'}"),
    "a list": _bytes([]),
    "nested without end": _bytes(b"[" * 100_000),
    "a key twice": _bytes(b'{"a":%s,"a":%s}' % ((json.dumps(_entry(0, 1)).encode(),) * 2), b"x"),
    "a gap": _bytes({"a": _entry(0, 1), "b": _entry(2, 3)}, b"xxx"),
    "an overlap": _bytes({"a": _entry(0, 2), "b": _entry(1, 3)}, b"xxx"),
    "data left over": _bytes({"a": _entry(0, 1)}, b"xx"),
    "data missing": _bytes({"a": _entry(0, 2)}, b"x"),
    "shape and size differ": _bytes({"a": _entry(0, 2, shape=[3])}, b"xx"),
    "unknown dtype": _bytes({"a": _entry(0, 1, dtype="F4")}, b"x"),
    "negative extent": _bytes({"a": _entry(0, 1, shape=[-1, -1])}, b"x"),
    "extent that is true": _bytes({"a": _entry(0, 1, shape=[True])}, b"x"),
    "offsets backwards": _bytes({"a": _entry(2, 1, shape=[1])}, b"xx"),
    "a tensor that is a number": _bytes({"a": 5}),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_file_is_refused(kind: str, tmp_path: Path) -> None:
    """Each way to break a shard is an integrity error that names the file."""
    path = tmp_path / "model.safetensors"
    path.write_bytes(BROKEN[kind])
    with pytest.raises(IntegrityError, match=str(path)):
        read_header(path)


@settings(deadline=None, max_examples=60)
@given(cut=st.integers(1, 200))
def test_a_truncated_shard_is_refused(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    """A shard that lost any number of its last bytes is noticed from its header alone."""
    path = tmp_path_factory.mktemp("cut") / "model.safetensors"
    save_file({"a": torch.zeros(16), "b": torch.ones(9)}, path)
    raw = path.read_bytes()
    path.write_bytes(raw[: max(len(raw) - cut, 0)])
    with pytest.raises(IntegrityError):
        read_header(path)
    with pytest.raises(SafetensorError):
        load_file(path)


def test_the_librarys_files_are_read_alike(tmp_path: Path) -> None:
    """A file that the library wrote has the same tensors here, to the bit."""
    tensors = {
        "bf16": torch.randn(3, 5).bfloat16(),
        "f8": torch.arange(16, dtype=torch.uint8).view(torch.float8_e4m3fn),
        "scalar": torch.tensor(7),
        "none": torch.zeros(0, 4),
        "flag": torch.tensor([True, False]),
    }
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    checkpoint = Checkpoint(tmp_path)
    assert checkpoint.tensors.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert checkpoint.tensors[name].shape == tuple(tensor.shape)
        raw = tensor.reshape(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b""
        assert checkpoint.read(name) == raw


@pytest.mark.parametrize(
    "weight_map",
    [
        {"a": "one.safetensors", "b": "two.safetensors"},
        {"a": "one.safetensors", "c": "one.safetensors", "b": "one.safetensors"},
        {"a": "one.safetensors", "c": "two.safetensors", "b": "two.safetensors"},
        {"a": "one.safetensors", "c": "one.safetensors", "b": "three.safetensors"},
        {"a": "one.safetensors", "c": "one.safetensors", "b": "../two.safetensors"},
        {"a": "one.safetensors", "c": "one.safetensors", "b": None},
        ["a", "b", "c"],
        None,
    ],
)
def test_an_index_that_disagrees_with_its_shards_is_refused(
    weight_map: object, tmp_path: Path
) -> None:
    """A tensor or shard too few, too many, in the wrong place or outside the folder."""
    for names, shard in (("ac", "one"), ("b", "two")):
        save_file({n: torch.zeros(2) for n in names}, tmp_path / f"{shard}.safetensors")
    good = {"a": "one.safetensors", "b": "two.safetensors", "c": "one.safetensors"}
    (tmp_path / INDEX).write_text(json.dumps({"weight_map": good}))
    assert Checkpoint(tmp_path).where == good
    (tmp_path / INDEX).write_text(json.dumps({"weight_map": weight_map}))
    with pytest.raises(IntegrityError):
        Checkpoint(tmp_path)


def test_a_tensor_in_two_shards_is_refused(tmp_path: Path) -> None:
    """Which of the two would be served is luck, so neither is."""
    for shard in ("one", "two"):
        save_file({"a": torch.zeros(2)}, tmp_path / f"{shard}.safetensors")
    index = {"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}
    (tmp_path / INDEX).write_text(json.dumps(index))
    with pytest.raises(IntegrityError, match="two shards"):
        Checkpoint(tmp_path)


def test_a_folder_without_a_checkpoint_is_refused(tmp_path: Path) -> None:
    """An empty folder says which file it lacks."""
    with pytest.raises(IntegrityError, match=r"lacks the shard model\.safetensors"):
        Checkpoint(tmp_path)


def test_a_shard_cut_short_while_it_is_read_is_an_error(tmp_path: Path) -> None:
    """Reading past the end of a file that shrank ends with an error, not never."""
    path = tmp_path / "model.safetensors"
    save_file({"a": torch.zeros(64)}, path)
    checkpoint = Checkpoint(tmp_path)
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(IntegrityError, match="8 bytes before"):
        checkpoint.read("a")


def test_a_source_with_too_few_bytes_is_refused(tmp_path: Path) -> None:
    """The writer does not publish a tensor whose source gave less than its spec."""
    piece = Piece("a", TensorSpec("U8", (4,)), lambda: [b"abc"])
    with pytest.raises(IntegrityError, match=r"(?s)tensor a .*4 bytes.*3 bytes"):
        write_checkpoint(tmp_path, [piece], 1 << 20)


def test_the_writer_streams(tmp_path: Path) -> None:
    """Each chunk is taken when the one before it was written, so memory holds one of them."""
    written: list[int] = []
    taken: list[int] = []

    def chunks() -> Any:
        for _ in range(5):
            taken.append(sum(written))
            yield b"x" * 10

    piece = Piece("a", TensorSpec("U8", (50,)), chunks)
    write_checkpoint(tmp_path, [piece], 1 << 20, written.append)
    assert taken == [0, 10, 20, 30, 40]
