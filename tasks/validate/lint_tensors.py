"""Every tensor's name, shape, dtype and (where unquantized) bytes, against base and scheme."""

from collections.abc import Iterator

from tasks.core.checkpoint import Checkpoint
from tasks.core.gate_records import Check
from tasks.core.schemes import (
    GROUP,
    PACKED,
    SCALE,
    WEIGHT,
    TensorSpec,
    packed_tensors,
    release_tensors,
)
from tasks.validate.lint_findings import verdict
from tasks.validate.packed import packed_modules


def check(candidate: Checkpoint, base: Checkpoint | None) -> list[Check]:
    """The checks `tensors.names`, `tensors.shapes` and `tensors.dtypes`."""
    found = candidate.tensors
    modules = packed_modules(found)
    expected = release_tensors(base.tensors, modules) if base else _of_itself(found, modules)
    complaints = [f"{name} is missing" for name in sorted(expected.keys() - found.keys())]
    complaints += [f"{name} does not belong" for name in sorted(found.keys() - expected.keys())]
    common = sorted(expected.keys() & found.keys())
    shapes = [
        f"{name} is {list(found[name].shape)}, not {list(expected[name].shape)}"
        for name in common
        if found[name].shape != expected[name].shape
    ]
    dtypes = [
        f"{name} is {found[name].dtype}, not {expected[name].dtype}"
        for name in common
        if found[name].dtype != expected[name].dtype
    ]
    source = "the base" if base else "the packed layers themselves"
    seen = f"{len(found)} tensors, {len(modules)} layers packed"
    return [
        verdict("tensors.names", complaints, required=f"the tensors of {source}", seen=seen),
        verdict("tensors.shapes", shapes, required=f"shapes that follow from {source}", seen=seen),
        verdict("tensors.dtypes", dtypes, required=f"dtypes of {source} and NVFP4", seen=seen),
    ]


def check_bytes(candidate: Checkpoint, base: Checkpoint) -> Check:
    """The check `tensors.bytes`: what is not quantized is the base's to the bit."""
    packed = {module + WEIGHT for module in packed_modules(candidate.where)}
    common = sorted(base.where.keys() & candidate.where.keys() - packed)
    differing = [name for name in common if not _equal(candidate.chunks(name), base.chunks(name))]
    return verdict(
        "tensors.bytes",
        [f"{name} has other bytes than the base's" for name in differing],
        required="unquantized tensors byte for byte from the base",
        seen=f"{len(common)} tensors equal",
    )


def _equal(one: Iterator[bytes], other: Iterator[bytes]) -> bool:
    missing = b""
    while True:
        ours, theirs = next(one, missing), next(other, missing)
        if ours != theirs:
            return False
        if not ours:
            return True


def _of_itself(found: dict[str, TensorSpec], modules: list[str]) -> dict[str, TensorSpec]:
    """What a checkpoint should hold, if its packed layers have the shapes their codes have."""
    expected = dict(found)
    for module in modules:
        expected.pop(module + WEIGHT, None)
        if (codes := found.get(f"{module}.{PACKED}")) and len(codes.shape) == 2:  # noqa: PLR2004
            rows, columns = codes.shape[0], codes.shape[1] * 2
        elif (scale := found.get(f"{module}.{SCALE}")) and len(scale.shape) == 2:  # noqa: PLR2004
            rows, columns = scale.shape[0], scale.shape[1] * GROUP
        else:
            rows, columns = 0, 0
        expected |= packed_tensors(module, rows, columns)
    return expected
