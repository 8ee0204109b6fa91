"""The quantized layers of a checkpoint, as its tensor names tell."""

from collections.abc import Iterable

from tasks.core.schemes import INPUT_GLOBAL, PACKED, SCALE, WEIGHT_GLOBAL

PARTS = (PACKED, SCALE, WEIGHT_GLOBAL, INPUT_GLOBAL)


def packed_modules(names: Iterable[str]) -> list[str]:
    """Modules that have at least one of the four tensors of a quantized Linear, sorted."""
    split = (name.rpartition(".") for name in names)
    return sorted({module for module, _, part in split if part in PARTS})
