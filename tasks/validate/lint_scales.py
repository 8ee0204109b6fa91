"""The values of the scales: finite, positive, and equal where vLLM fuses layers.

An E4M3 byte is sign, four bits of exponent, three of mantissa; 0x7F and 0xFF are NaN, there is no
infinity, and the largest value is 448 (OCP 8-bit floating point specification 1.0). So a byte
from 0x01 to 0x7E is a scale, and 0x00 is one for a group whose weights are all zero.
"""

import math
import struct

import numpy as np
from numpy.typing import NDArray

from tasks.core.checkpoint import Checkpoint
from tasks.core.gate_records import Check
from tasks.core.schemes import (
    GROUP,
    INPUT_GLOBAL,
    PACKED,
    SCALE,
    WEIGHT_GLOBAL,
    fused_groups,
    packed_tensors,
)
from tasks.validate.lint_findings import verdict
from tasks.validate.packed import packed_modules

GROUP_BYTES = GROUP // 2
CHUNK = 1 << 22
NAN = 0x7F
SIGN = 0x80
MAGNITUDES = 0x77
"""Both codes of a byte without their signs; zero for two zeros."""


def check(candidate: Checkpoint) -> list[Check]:
    """The checks `scales.weight`, `scales.global` and `scales.fused`.

    Layers whose tensors have not the shapes and dtypes of NVFP4 are left to `tensors.*`.
    """
    modules = [module for module in packed_modules(candidate.where) if _sound(candidate, module)]
    globals_ = {
        f"{module}.{part}": _float32(candidate, f"{module}.{part}")
        for module in modules
        for part in (WEIGHT_GLOBAL, INPUT_GLOBAL)
    }
    return [
        _weight_scales(candidate, modules),
        verdict(
            "scales.global",
            [f"{n} is {v}" for n, v in globals_.items() if not (math.isfinite(v) and v > 0)],
            required="finite and positive",
            seen=f"{len(globals_)} global scales",
        ),
        _fused(modules, globals_),
    ]


def _sound(candidate: Checkpoint, module: str) -> bool:
    found = candidate.tensors
    codes = found.get(f"{module}.{PACKED}")
    if codes is None or len(codes.shape) != 2:  # noqa: PLR2004 - rows and columns
        return False
    expected = packed_tensors(module, codes.shape[0], codes.shape[1] * 2)
    return all(found.get(name) == spec for name, spec in expected.items())


def _float32(candidate: Checkpoint, name: str) -> float:
    value: float = struct.unpack("<f", candidate.read(name))[0]
    return value


def _weight_scales(candidate: Checkpoint, modules: list[str]) -> Check:
    complaints = []
    for module in modules:
        faults = dict.fromkeys(("NaN", "negative", "zero over weights that are not"), 0)
        scales = candidate.chunks(f"{module}.{SCALE}", CHUNK)
        codes = candidate.chunks(f"{module}.{PACKED}", CHUNK * GROUP_BYTES)
        for scale, code in zip(scales, codes, strict=True):
            _count(np.frombuffer(scale, np.uint8), np.frombuffer(code, np.uint8), faults)
        complaints += [
            f"{module}.{SCALE}: {count} {fault}" for fault, count in faults.items() if count
        ]
    return verdict(
        "scales.weight",
        complaints,
        required="no NaN, none negative, zero over groups of zeros alone",
        seen=f"the scales of {len(modules)} layers",
    )


def _count(scale: NDArray[np.uint8], codes: NDArray[np.uint8], faults: dict[str, int]) -> None:
    """Count faults of scales [groups] whose codes are [groups * 8] bytes."""
    nan = (scale & NAN) == NAN
    faults["NaN"] += int(nan.sum())
    faults["negative"] += int(((scale & SIGN != 0) & ~nan).sum())
    zero = np.flatnonzero(scale & NAN == 0)
    if zero.size:
        used = (codes.reshape(-1, GROUP_BYTES)[zero] & MAGNITUDES).any(axis=1)
        faults["zero over weights that are not"] += int(used.sum())


def _fused(modules: list[str], globals_: dict[str, float]) -> Check:
    complaints = []
    groups = fused_groups(modules)
    for group in groups:
        for part in (WEIGHT_GLOBAL, INPUT_GLOBAL):
            values = {module: globals_[f"{module}.{part}"] for module in group}
            if len(set(values.values())) > 1:
                complaints.append(f"{part}: {values}")
    return verdict(
        "scales.fused",
        complaints,
        required="equal global scales in layers that vLLM fuses: it takes the largest",
        seen=f"{len(groups)} groups",
    )
