"""What Triton makes of the kernels for a Hopper card; compiling needs none."""

import json
import os
import subprocess
import sys

import pytest

PROGRAM = """
import collections, json, sys
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, compile
from tasks.kernels.fused import casts, inputs, weights

KINDS = {
    "weight_at": "*bf16", "offsets_at": "*i16", "drops_at": "*i16", "best_offsets_at": "*i16",
    "best_drops_at": "*i16", "divisor_at": "*fp32", "gradient_at": "*bf16", "pace_at": "*i32",
    "better_at": "*u8", "made_at": "*bf16", "turned_at": "*fp8e4nv", "offset_quantum": "fp32",
    "factor_quantum": "fp32", "most": "i32", "rows": "i32", "cols": "i32", "count": "i32",
    "x_at": "*bf16", "peak_at": "*i32", "scale_at": "*fp32", "plain_at": "*fp8e4nv",
}

def build(program, warps, **constants):
    names = program.arg_names
    kinds = {n: "constexpr" if n in constants else KINDS[n] for n in names}
    if constants.get("TURN") is False:
        kinds["turned_at"] = "*bf16"
    even = {(i,): [["tt.divisibility", 16]] for i, n in enumerate(names)
            if kinds[n].startswith("*") or n in ("rows", "cols", "count")}
    values = {(names.index(n),): value for n, value in constants.items()}
    source = ASTSource(program, kinds, values, even)
    made = compile(source, target=GPUTarget("cuda", 90, 32),
                   options={"num_warps": warps, "enable_fp_fusion": False})
    words = [line.split() for line in made.asm["ptx"].splitlines() if line.strip()]
    return collections.Counter(word for line in words for word in line[:2])

def tile(shape, **others):
    return {"warps": shape[2], "HIGH": shape[0], "WIDE": shape[1], **others}

print(json.dumps({
    "quantize": build(weights._quantize, **tile(weights.FLAT, TURN=False)),
    "quantize turned": build(weights._quantize, **tile(weights.TURNED, TURN=True)),
    "step": build(weights._step, **tile(weights.FLAT, TURN=False)),
    "step turned": build(weights._step, **tile(weights.TURNED, TURN=True)),
    "input": build(inputs._quantize, **tile(inputs.FLAT, TURN=False)),
    "input turned": build(inputs._quantize, **tile(inputs.TURNED, TURN=True)),
    "gradient": build(inputs._gradient, **tile(inputs.FLAT)),
    "peak": build(casts._peak, 8, CHUNK=8192),
    "cast": build(casts._cast, **tile(casts._TILE, PLAIN=True)),
}))
"""
ROUNDED = {
    "quantize",
    "quantize turned",
    "step",
    "step turned",
    "input",
    "input turned",
    "gradient",
}


@pytest.fixture(scope="module")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, int]]:
    """How often each word of PTX begins a line, by kernel; from a process that compiles."""
    environment = dict(os.environ, TRITON_CACHE_DIR=str(tmp_path_factory.mktemp("triton")))
    environment.pop("TRITON_INTERPRET", None)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    made: dict[str, dict[str, int]] = json.loads(done.stdout)
    return made


def test_all_compile(kernels: dict[str, dict[str, int]]) -> None:
    """Every program becomes machine code, with its loads and stores in it."""
    assert len(kernels) == 9
    for words in kernels.values():
        assert any(word.startswith("ld.global") for word in words)


def test_memory_is_read_and_written_sixteen_bytes_at_a_time(
    kernels: dict[str, dict[str, int]],
) -> None:
    """The tensors that count go through the widest accesses there are."""
    assert kernels["step"]["ld.global.v4.b32"] == 3
    assert kernels["step"]["st.global.v4.b32"] == 3
    for name, words in kernels.items():
        assert words["ld.global.v4.b32"] > 0, name
        assert name == "peak" or words["st.global.v4.b32"] > 0, name


def test_what_must_round_twice_does(kernels: dict[str, dict[str, int]]) -> None:
    """No multiplication is fused with an addition, and scales are divided as IEEE wants."""
    for name in ROUNDED:
        assert not any(word.startswith("fma") for word in kernels[name]), name
        assert kernels[name]["div.rn.f32"] > 0, name
        assert not any(word.startswith(("div.full", "div.approx")) for word in kernels[name]), name
