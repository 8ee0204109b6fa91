"""`native.c` for the CPU: compiled once a process, by the C compiler of the machine.

Only this process loads what was compiled, from a folder that goes away at once; compiling takes a
second or less.
"""

import ctypes
import os
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch

from tasks.core.schemes import GROUP
from tasks.kernels.eager import Eager
from tasks.kernels.state import LayerState

SOURCE = Path(__file__).with_name("native.c")
FLAGS = ("-std=c11", "-O3", "-march=native", "-ffp-contract=off", "-shared", "-fPIC", "-Wno-psabi")
_WEIGHTS = {torch.bfloat16: "bf16", torch.float32: "float"}
_OFFSETS = {torch.int16: "int16_t", torch.int32: "int32_t"}
_SHARE = 1 << 13
"""Least groups for a thread of its own."""
_POINTER, _FLOAT, _INT, _LONG = ctypes.c_void_p, ctypes.c_float, ctypes.c_int, ctypes.c_long
_RANGE = (_LONG, _LONG)
_SIGNATURES: dict[str, tuple[Any, ...]] = {
    "quantize_weight": (*[_POINTER] * 4, *[_FLOAT] * 3, _POINTER, *_RANGE),
    "step": (*[_POINTER] * 4, *[_FLOAT] * 3, _POINTER, _INT, _INT, *_RANGE),
    "quantize_input": (_POINTER, _FLOAT, _POINTER, *_RANGE),
    "input_gradient": (_POINTER, _FLOAT, _POINTER, _POINTER, *_RANGE),
}


@cache
def available() -> bool:
    """Whether this machine has a C compiler that compiles `native.c`."""
    try:
        _library(torch.bfloat16, torch.int16)
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


class Native(Eager):
    """Compiled C, for weights and activations of bfloat16 or float32 on the CPU."""

    name = "native"

    def quantize_weight(self, layer: LayerState) -> torch.Tensor:
        """The weight that the present offsets and factors give; [out, in], the weight's dtype."""
        made = torch.empty_like(layer.weight)
        call = _library(layer.weight.dtype, layer.offsets.dtype)["quantize_weight"]
        _share(call, (*_layer(layer), made), len(layer.peaks))
        return made

    def step(
        self, layer: LayerState, gradient: torch.Tensor, pace: torch.Tensor, better: torch.Tensor
    ) -> None:
        """Keep the present values where they are the best, then move them."""
        layer.keep(better)
        call = _library(layer.weight.dtype, layer.offsets.dtype)["step"]
        given = gradient.contiguous()
        _share(call, (*_layer(layer), given, int(pace), layer.quanta.floor), len(layer.peaks))

    def quantize_input(self, x: torch.Tensor, divisor: torch.Tensor) -> torch.Tensor:
        """Round an activation [..., width] on the fixed G of the calibration set."""
        source = x.contiguous()
        made = torch.empty_like(source)
        call = _library(x.dtype, torch.int16)["quantize_input"]
        _share(call, (source, float(divisor), made), made.numel() // GROUP)
        return made

    def input_gradient(
        self, x: torch.Tensor, divisor: torch.Tensor, gradient: torch.Tensor
    ) -> torch.Tensor:
        """Gradient to an activation from the gradient to its quantized value."""
        source, given = x.contiguous(), gradient.contiguous()
        made = torch.empty_like(given)
        call = _library(x.dtype, torch.int16)["input_gradient"]
        _share(call, (source, float(divisor), given, made), made.numel() // GROUP)
        return made


def _layer(layer: LayerState) -> tuple[torch.Tensor | float, ...]:
    tensors = (layer.weight, layer.offsets, layer.drops, layer.peaks)
    return (*tensors, float(layer.divisor), layer.quanta.offset, layer.quanta.factor)


def _share(call: Callable[..., None], arguments: Sequence[Any], groups: int) -> None:
    """Spread the groups over torch's threads; the call lets go of the interpreter's lock."""
    given = [each.data_ptr() if isinstance(each, torch.Tensor) else each for each in arguments]
    count = max(1, min(torch.get_num_threads(), groups // _SHARE))
    bounds = [groups * part // count for part in range(count + 1)]
    if count == 1:
        call(*given, *bounds)
    else:
        list(_pool(count).map(partial(call, *given), bounds[:-1], bounds[1:]))


@cache
def _pool(count: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count)


@cache
def _library(weight: torch.dtype, offset: torch.dtype) -> dict[str, Callable[..., None]]:
    """The functions, compiled for two dtypes."""
    kinds = (f"-DWEIGHT={_WEIGHTS[weight]}", f"-DOFFSET={_OFFSETS[offset]}")
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "native.so"
        compiler = os.environ.get("CC", "cc")
        command = [compiler, *kinds, str(SOURCE), "-o", str(made), *FLAGS]
        subprocess.run(command, check=True, capture_output=True)
        library = ctypes.CDLL(str(made))
    functions = {}
    for name, signature in _SIGNATURES.items():
        function = getattr(library, name)
        function.argtypes, function.restype = signature, None
        functions[name] = function
    return functions
