"""A sample of decoded weights beside the base's: right layer, right order, right scales.

Shapes and dtypes cannot tell two layers of one size apart, nor the low nibble from the high one.
Decoding some rows of each layer can: rounding to NVFP4 changes a weight matrix by about a tenth of
its norm, anything mixed up by more than its norm. Decoding follows `tasks.core.schemes`.
"""

import numpy as np
from numpy.typing import NDArray

from tasks.core.checkpoint import Checkpoint
from tasks.core.gate_records import Check
from tasks.core.schemes import GROUP, PACKED, SCALE, WEIGHT, WEIGHT_GLOBAL, packed_tensors
from tasks.validate.lint_findings import verdict
from tasks.validate.packed import packed_modules

ROWS = 16
MOST = 0.5
"""Largest norm of the difference over the norm of the base's rows."""

Floats = NDArray[np.float32]


def _e4m3_table() -> Floats:
    """The value of each byte as E4M3 (OCP 8-bit floating point specification 1.0)."""
    byte = np.arange(256)
    exponent, mantissa = (byte >> 3) & 15, byte & 7
    normal = (1 + mantissa / 8) * 2.0 ** (exponent - 7)
    value = np.where(exponent == 0, mantissa / 8 * 2.0**-6, normal)
    value[byte & 127 == 127] = np.nan  # noqa: PLR2004 - all ones
    return np.where(byte >> 7, -value, value).astype(np.float32)


_E4M3 = _e4m3_table()
_HALF = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0]
_E2M1 = np.array([*_HALF, *(-value for value in _HALF)], dtype=np.float32)


def check(candidate: Checkpoint, base: Checkpoint) -> Check:
    """The check `weights.close`; layers of the wrong shape are left to `tensors.*`."""
    errors = {
        module: _relative_error(candidate, base, module)
        for module in packed_modules(candidate.where)
        if _comparable(candidate, base, module)
    }
    far = {module: error for module, error in errors.items() if not error <= MOST}
    return verdict(
        "weights.close",
        [f"{module} differs by {error:.2f} of its norm" for module, error in far.items()],
        required=f"a sample of each layer decodes to within {MOST} of the base's norm",
        seen=f"{len(errors)} layers, at most {max(errors.values(), default=0.0):.3f}",
    )


def _comparable(candidate: Checkpoint, base: Checkpoint, module: str) -> bool:
    spec = base.tensors.get(module + WEIGHT)
    if spec is None or len(spec.shape) != 2 or spec.dtype not in {"BF16", "F32", "F16"}:  # noqa: PLR2004
        return False
    expected = packed_tensors(module, *spec.shape)
    return all(candidate.tensors.get(name) == want for name, want in expected.items())


def _relative_error(candidate: Checkpoint, base: Checkpoint, module: str) -> float:
    rows = base.tensors[module + WEIGHT].shape[0]
    chosen = sorted(set(np.linspace(0, rows - 1, ROWS).astype(int).tolist()))
    original = _floats(base, module + WEIGHT, chosen)
    codes = _rows(candidate, f"{module}.{PACKED}", chosen)
    scale = _E4M3[_rows(candidate, f"{module}.{SCALE}", chosen)]
    divisor = np.frombuffer(candidate.read(f"{module}.{WEIGHT_GLOBAL}"), np.float32)
    values = _E2M1[np.stack((codes & 15, codes >> 4), axis=-1).reshape(len(chosen), -1)]
    with np.errstate(all="ignore"):
        decoded = values * np.repeat(scale, GROUP, axis=1) / divisor
        norm = float(np.linalg.norm(original))
        distance = float(np.linalg.norm(decoded - original))
    return distance / norm if norm else distance


def _rows(checkpoint: Checkpoint, name: str, chosen: list[int]) -> NDArray[np.uint8]:
    """Some rows of a matrix, as bytes [rows, bytes of a row]."""
    path, tensor = checkpoint.stored(name)
    width = tensor.spec.nbytes // tensor.spec.shape[0]
    with path.open("rb") as stream:
        pieces = []
        for row in chosen:
            stream.seek(tensor.begin + row * width)
            pieces.append(stream.read(width))
    return np.frombuffer(b"".join(pieces), np.uint8).reshape(len(chosen), width)


def _floats(checkpoint: Checkpoint, name: str, chosen: list[int]) -> Floats:
    raw = _rows(checkpoint, name, chosen)
    match checkpoint.tensors[name].dtype:
        case "BF16":
            widened = raw.view(np.uint16).astype(np.uint32) << 16
            return widened.view(np.float32)
        case "F16":
            return raw.view(np.float16).astype(np.float32)
        case _:
            return raw.view(np.float32)
