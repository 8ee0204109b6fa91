"""The static checks: a good release passes, and each planted fault is found by name."""

import json
import re
import shutil
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tasks.convert.convert import build
from tasks.core.checkpoint import INDEX
from tasks.core.errors import InputError, WorkerLost
from tasks.core.gate_records import Check
from tasks.core.progress import Silent
from tasks.core.schemes import TensorSpec, packed_tensors
from tasks.core.settings import Settings
from tasks.validate import lint_schema
from tasks.validate.lint import lint, static_checks
from tasks.validate.lint_scales import CHUNK
from tasks.validate.lint_weights import _E4M3
from tests.fake_release import RECIPE, load_stored, make_base, make_output, store

BLOCK = "model.language_model.layers.0"
UP, GATE = f"{BLOCK}.mlp.up_proj", f"{BLOCK}.mlp.gate_proj"
QUERY = f"{BLOCK}.self_attn.q_proj"
NORM = f"{BLOCK}.input_layernorm.weight"
TOWER = "model.vision_tower.encoder.layers.0.mlp.up_proj.linear"
Fault = Callable[[Path], object]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    make_base(folder)
    return folder


@pytest.fixture(scope="module")
def release(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    scratch = tmp_path_factory.mktemp("release")
    make_output(base, scratch / "output")
    build(scratch / "release", base, scratch / "output", RECIPE, Silent())
    return scratch / "release"


@pytest.fixture
def candidate(release: Path, tmp_path: Path) -> Path:
    shutil.copytree(release, tmp_path / "candidate")
    return tmp_path / "candidate"


def _failed(checks: list[Check]) -> set[str]:
    return {check.name for check in checks if not check.passed}


def _config(edit: Callable[[dict[str, Any]], object]) -> Fault:
    def plant(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        edit(config["quantization_config"])
        (folder / "config.json").write_text(json.dumps(config))

    return plant


def _weights(**values: object) -> Fault:
    return _config(lambda q: q["config_groups"]["group_0"]["weights"].update(values))


def _tensor(name: str, spec: TensorSpec | None = None, raw: bytes | None = None) -> Fault:
    """Give a tensor another spec or other bytes."""

    def plant(folder: Path) -> None:
        tensors = load_stored(folder)
        old_spec, old_raw = tensors[name]
        tensors[name] = (spec or old_spec, old_raw if raw is None else raw)
        store(folder, tensors)

    return plant


def _byte(name: str, value: int) -> Fault:
    """Overwrite the first byte of a tensor."""

    def plant(folder: Path) -> None:
        tensors = load_stored(folder)
        spec, raw = tensors[name]
        tensors[name] = (spec, bytes([value]) + raw[1:])
        store(folder, tensors)

    return plant


def _without(name: str) -> Fault:
    def plant(folder: Path) -> None:
        store(folder, {n: stored for n, stored in load_stored(folder).items() if n != name})

    return plant


def _extra(name: str) -> Fault:
    def plant(folder: Path) -> None:
        store(folder, {**load_stored(folder), name: (TensorSpec("BF16", (4,)), b"\0" * 8)})

    return plant


def _swapped(suffix: str) -> Fault:
    """Exchange a tensor of gate_proj with that of up_proj: equal shapes, wrong layers."""

    def plant(folder: Path) -> None:
        tensors = load_stored(folder)
        one, other = f"{UP}.{suffix}", f"{GATE}.{suffix}"
        tensors[one], tensors[other] = tensors[other], tensors[one]
        store(folder, tensors)

    return plant


def _nibbles(folder: Path) -> None:
    """Exchange the nibbles of every byte of one layer's codes."""
    tensors = load_stored(folder)
    spec, raw = tensors[f"{UP}.weight_packed"]
    codes = np.frombuffer(raw, np.uint8)
    tensors[f"{UP}.weight_packed"] = (spec, (codes << 4 | codes >> 4).tobytes())
    store(folder, tensors)


def _quantized_tower(folder: Path) -> None:
    tensors = load_stored(folder)
    spec, _ = tensors.pop(f"{TOWER}.weight")
    packed = packed_tensors(TOWER, *spec.shape)
    store(folder, tensors | {name: (s, b"\x3f" * s.nbytes) for name, s in packed.items()})


def _norm_as_float32(folder: Path) -> None:
    tensors = load_stored(folder)
    spec, raw = tensors[NORM]
    wide = torch.frombuffer(bytearray(raw), dtype=torch.bfloat16).float().numpy().tobytes()
    store(folder, tensors | {NORM: (TensorSpec("F32", spec.shape), wide)})


def _write(name: str, content: bytes) -> Fault:
    return lambda folder: (folder / name).write_bytes(content)


def _truncated(folder: Path) -> None:
    shard = min(folder.glob("*.safetensors"))
    shard.write_bytes(shard.read_bytes()[:-1])


def _index(edit: Callable[[dict[str, Any]], object]) -> Fault:
    def plant(folder: Path) -> None:
        index = json.loads((folder / INDEX).read_text())
        edit(index)
        (folder / INDEX).write_text(json.dumps(index))

    return plant


def _auto_map(folder: Path) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"auto_map": {"AutoModel": "m.M"}}))


def _foreign_metadata(folder: Path) -> None:
    shard = min(folder.glob("*.safetensors"))
    shard.write_bytes(shard.read_bytes().replace(b'"format":"pt"', b'"format":"tf"', 1))


FAULTS: dict[str, tuple[Fault, set[str]]] = {
    "format typo": (_config(lambda q: q.update(format="nvfp4")), {"config.scheme"}),
    "group size 32": (_weights(group_size=32), {"config.scheme"}),
    "eight bits": (_weights(num_bits=8), {"config.scheme"}),
    "asymmetric": (_weights(symmetric=False), {"config.scheme"}),
    "per-group strategy": (_weights(strategy="group"), {"config.scheme"}),
    "AutoRound's method": (_config(lambda q: q.update(quant_method="auto-round")),
                           {"config.scheme"}),
    "weights alone": (
        _config(lambda q: q["config_groups"]["group_0"].update(input_activations=None)),
        {"config.scheme"},
    ),
    "no groups": (_config(lambda q: q.pop("config_groups")), {"config.scheme"}),
    "no settings at all": (_config(lambda q: q.clear()), {"config.scheme", "modules.ignore"}),
    "config is not JSON": (
        _write("config.json", b"{"),
        {"config.scheme", "config.base", "files.code", "modules.ignore"},
    ),
    "ignore of AutoRound": (_config(lambda q: q.update(ignore=["lm_head"])), {"modules.ignore"}),
    "ignore in the checkpoint's spelling alone": (
        _config(lambda q: q["ignore"].__setitem__(0, r"re:model\.vision_tower\..*")),
        {"modules.ignore"},
    ),
    "ignore of a quantized layer": (
        _config(lambda q: q["ignore"].append(r"re:.*layers\.0\.mlp.*")), {"modules.ignore"},
    ),
    "ignore that is no regex": (_config(lambda q: q["ignore"].append("re:(")), {"modules.ignore"}),
    "NaN scale": (_byte(f"{UP}.weight_scale", 0x7F), {"scales.weight", "weights.close"}),
    "negative scale": (_byte(f"{UP}.weight_scale", 0x81), {"scales.weight"}),
    "zero scale": (_byte(f"{UP}.weight_scale", 0), {"scales.weight"}),
    "infinite global scale": (
        _tensor(f"{QUERY}.input_global_scale", raw=struct.pack("<f", float("inf"))),
        {"scales.global", "scales.fused"},
    ),
    "negative global scale": (
        _tensor(f"{BLOCK}.mlp.down_proj.input_global_scale", raw=struct.pack("<f", -1.0)),
        {"scales.global"},
    ),
    "unequal fused scale": (
        _tensor(f"{QUERY}.input_global_scale", raw=struct.pack("<f", 7.0)), {"scales.fused"},
    ),
    "swapped layers": (_swapped("weight_packed"), {"weights.close"}),
    "swapped nibbles": (_nibbles, {"weights.close"}),
    "inverted global scale": (
        _tensor(f"{BLOCK}.mlp.down_proj.weight_global_scale", raw=struct.pack("<f", 1e-4)),
        {"weights.close"},
    ),
    "turned shape": (
        _tensor(f"{UP}.weight_scale", TensorSpec("F8_E4M3", (16, 1024))), {"tensors.shapes"},
    ),
    "wrong dtype": (
        _tensor(f"{UP}.weight_scale", TensorSpec("U8", (1024, 16))), {"tensors.dtypes"},
    ),
    "FP32 norm": (_norm_as_float32, {"tensors.dtypes", "tensors.bytes"}),
    "changed norm": (_byte(NORM, 1), {"tensors.bytes"}),
    "missing norm": (_without(NORM), {"tensors.names"}),
    "missing unused tensor": (_without("model.mtp.steps"), {"tensors.names"}),
    "missing scale": (_without(f"{UP}.input_global_scale"), {"tensors.names"}),
    "extra tensor": (_extra("model.extra"), {"tensors.names"}),
    "weight beside its codes": (_extra(f"{UP}.weight"), {"tensors.names", "modules.fused"}),
    "quantized vision tower": (_quantized_tower, {"modules.chosen", "modules.ignore",
                                                  "weights.close"}),
    "total_size": (_index(lambda i: i["metadata"].update(total_size=1)), {"shards.index"}),
    "index without a tensor": (
        _index(lambda i: i["weight_map"].pop(NORM)), {"shards.index", "tensors"},
    ),
    "truncated shard": (_truncated, {"shards.whole", "shards.index", "tensors"}),
    "shard of nobody": (
        lambda folder: shutil.copy(min(folder.glob("*.safetensors")), folder / "z.safetensors"),
        {"shards.index"},
    ),
    "metadata": (_foreign_metadata, {"shards.metadata"}),
    "tokenizer": (_write("tokenizer_config.json", b"{}"), {"files.base"}),
    "no template": (lambda folder: (folder / "chat_template.jinja").unlink(), {"files.base"}),
    "foreign processor file": (_write("preprocessor_config.json", b"{}"), {"files.base"}),
    "leftover": (_write("quantization_config.json", b"{}"), {"files.leftover"}),
    "pickle": (_write("model.pt", b"\x80\x04."), {"files.kinds"}),
    "code": (_write("modeling.py", b"import os"), {"files.kinds"}),
    "auto_map": (_auto_map, {"files.code", "config.base"}),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_found_and_nothing_else(fault: str, candidate: Path, base: Path) -> None:
    """A planted fault fails the checks that speak of it, and leaves the others alone."""
    plant, expected = FAULTS[fault]
    plant(candidate)
    checks = static_checks(candidate, base, recipe=RECIPE, reporter=Silent())
    assert _failed(checks) == expected


ALONE = {
    "missing scale": "tensors.names",
    "turned shape": "tensors.shapes",
    "NaN scale": "scales.weight",
    "quantized vision tower": "modules.chosen",
    "unequal fused scale": "scales.fused",
    "ignore of AutoRound": "modules.ignore",
    "truncated shard": "shards.whole",
    "group size 32": "config.scheme",
}


@pytest.mark.parametrize("fault", ALONE)
def test_a_checkpoint_alone_betrays_its_faults(fault: str, candidate: Path) -> None:
    """Without base and recipe, what a checkpoint says of itself is enough to find these."""
    FAULTS[fault][0](candidate)
    checks = static_checks(candidate, None, recipe=None, reporter=Silent())
    assert ALONE[fault] in _failed(checks)


def test_a_good_release_passes_every_check(release: Path, base: Path) -> None:
    """Nothing is found in a good release, with and without its base."""
    assert not _failed(static_checks(release, base, recipe=RECIPE, reporter=Silent()))
    assert not _failed(static_checks(release, None, recipe=None, reporter=Silent()))


def test_all_faults_are_told_at_once(candidate: Path, base: Path) -> None:
    """Three faults in one release are three failed checks, each naming its culprit."""
    for fault in ("leftover", "NaN scale", "missing norm"):
        FAULTS[fault][0](candidate)
    checks = {c.name: c for c in static_checks(candidate, base, recipe=RECIPE, reporter=Silent())}
    assert "quantization_config.json" in checks["files.leftover"].seen
    assert f"{UP}.weight_scale: 1 NaN" in checks["scales.weight"].seen
    assert f"{NORM} is missing" in checks["tensors.names"].seen


def test_a_zero_scale_is_right_for_a_group_of_zeros(candidate: Path, base: Path) -> None:
    """A zero scale over zero codes, of either sign, is no fault."""
    tensors = load_stored(candidate)
    for part, filler in (("weight_packed", b"\x80\x08" * 4), ("weight_scale", b"\0")):
        spec, raw = tensors[f"{UP}.{part}"]
        tensors[f"{UP}.{part}"] = (spec, filler + raw[len(filler) :])
    store(candidate, tensors)
    checks = static_checks(candidate, base, recipe=RECIPE, reporter=Silent())
    assert "scales.weight" not in _failed(checks)


def test_scales_beyond_the_first_chunk_are_scanned(tmp_path: Path) -> None:
    """A NaN in the last byte of a layer larger than a chunk is found."""
    layer = "model.layers.0.mlp.down_proj"
    specs = packed_tensors(layer, CHUNK // 16 + 1, 256)
    fill = {"F32": struct.pack("<f", 1.0), "U8": b"\x11", "F8_E4M3": b"\x38"}
    tensors = {n: (s, fill[s.dtype] * (s.nbytes // len(fill[s.dtype]))) for n, s in specs.items()}
    spec, raw = tensors[f"{layer}.weight_scale"]
    tensors[f"{layer}.weight_scale"] = (spec, raw[:-1] + b"\xff")
    store(tmp_path, tensors, limit=1 << 30)
    checks = {c.name: c for c in static_checks(tmp_path, None, recipe=None, reporter=Silent())}
    assert checks["scales.weight"].seen == f"{layer}.weight_scale: 1 NaN"
    assert checks["tensors.names"].passed


def test_the_e4m3_table_is_torchs() -> None:
    """All 256 bytes decode to what torch decodes them to."""
    theirs = torch.arange(256, dtype=torch.uint8).view(torch.float8_e4m3fn).float().numpy()
    np.testing.assert_array_equal(_E4M3, theirs)


def test_a_folder_that_does_not_exist_is_bad_input(tmp_path: Path) -> None:
    """A path that names no folder is refused, not reported as a bad release."""
    with pytest.raises(InputError, match="no folder"):
        lint(tmp_path / "none", None, Path(sys.executable))


def test_the_schema_check_fails_without_a_serving_environment(release: Path) -> None:
    """A missing serving environment is a failed check that says what to do, not a silent pass."""
    check = lint_schema.check(release, Path("/nowhere/python"))
    assert not check.passed
    assert "ROUNDHOUSE_SERVE_PYTHON" in check.required


def test_a_killed_probe_is_no_verdict(release: Path, tmp_path: Path) -> None:
    """Who kills the schema's child does not make the checkpoint a bad one: it is tried again."""
    suicide = tmp_path / "python"
    suicide.write_text("#!/bin/sh\nkill -9 $$\n")
    suicide.chmod(0o755)
    with pytest.raises(WorkerLost, match="SIGKILL"):
        lint_schema.check(release, suicide)


def test_the_serving_library_accepts_the_config(release: Path, base: Path) -> None:
    """The linter asks the pinned compressed-tensors itself, which accepts what convert writes."""
    serve_python = Settings().serve_python
    if not serve_python.is_file():
        pytest.fail("there is no serving environment; type: make serve")
    checks = lint(release, base, serve_python, recipe=RECIPE)
    assert not _failed(checks)
    assert re.match(r"compressed-tensors \d+\.\d+\.\d+: accepted", checks[-1].seen)


def test_the_serving_library_refuses_an_unknown_key(candidate: Path) -> None:
    """A key that the library's schema forbids fails config.schema, with the key's name."""
    _weights(groupsize=16)(candidate)
    check = lint_schema.check(candidate, Path(sys.executable))
    assert not check.passed
    assert "groupsize" in check.seen
