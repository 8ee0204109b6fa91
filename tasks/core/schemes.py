"""NVFP4 as it lies in a checkpoint, and which of a model's tensors it covers.

A quantized Linear of shape [out, in] is stored as four tensors (compressed-tensors'
`nvfp4-pack-quantized`):

    weight_packed        U8       [out, in / 2]    two E2M1 codes a byte, low nibble first
    weight_scale         F8_E4M3  [out, in / 16]   one scale a group of 16
    weight_global_scale  F32      [1]              divisor: 448 * 6 / max |w|
    input_global_scale   F32      [1]              divisor: 448 * 6 / max |x|

    w ≈ e2m1(code) * weight_scale / weight_global_scale
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tasks.core.recipe import Recipe

GROUP = 16
E2M1_MAX = 6.0
E4M3_MAX = 448.0
WEIGHT = ".weight"
PACKED = "weight_packed"
SCALE = "weight_scale"
WEIGHT_GLOBAL = "weight_global_scale"
INPUT_GLOBAL = "input_global_scale"
FUSED = (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"))
"""Layers that vLLM fuses into one matrix product, so their global scales must agree."""


@dataclass(frozen=True)
class TensorSpec:
    """Dtype (as safetensors spells it) and shape of one stored tensor."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """Bytes of the tensor's data."""
        size = DTYPE_BYTES[self.dtype]
        for extent in self.shape:
            size *= extent
        return size


DTYPE_BYTES = {
    "BF16": 2, "BOOL": 1, "F16": 2, "F32": 4, "F64": 8, "F8_E4M3": 1, "F8_E5M2": 1,
    "I16": 2, "I32": 4, "I64": 8, "I8": 1, "U16": 2, "U32": 4, "U64": 8, "U8": 1,
}  # fmt: skip


def packed_tensors(module: str, out_features: int, in_features: int) -> dict[str, TensorSpec]:
    """What a quantized Linear stores: full tensor name to dtype and shape."""
    return {
        f"{module}.{PACKED}": TensorSpec("U8", (out_features, in_features // 2)),
        f"{module}.{SCALE}": TensorSpec("F8_E4M3", (out_features, in_features // GROUP)),
        f"{module}.{WEIGHT_GLOBAL}": TensorSpec("F32", (1,)),
        f"{module}.{INPUT_GLOBAL}": TensorSpec("F32", (1,)),
    }


def quantized_modules(tensors: Mapping[str, TensorSpec], recipe: Recipe) -> list[str]:
    """Modules whose weight the recipe quantizes: Linears of decoder blocks it does not keep.

    A Linear of a block is a two-dimensional `.weight` below `.layers.<n>.` whose rows divide into
    groups; norms have one dimension, embeddings and lm_head lie outside the blocks.
    """
    return sorted(
        name.removesuffix(WEIGHT)
        for name, spec in tensors.items()
        if name.endswith(WEIGHT)
        and ".layers." in name
        and len(spec.shape) == 2  # noqa: PLR2004 - rows and columns
        and spec.shape[1] % GROUP == 0
        and not recipe.keeps(name.removesuffix(WEIGHT))
    )


def release_tensors(
    tensors: Mapping[str, TensorSpec], quantized: Iterable[str]
) -> dict[str, TensorSpec]:
    """All tensors of the release, from those of the base and the modules that are quantized."""
    chosen = set(quantized)
    out: dict[str, TensorSpec] = {}
    for name, spec in tensors.items():
        module = name.removesuffix(WEIGHT)
        if name.endswith(WEIGHT) and module in chosen:
            out |= packed_tensors(module, *spec.shape)
        else:
            out[name] = spec
    return out


def fused_groups(modules: Iterable[str]) -> list[tuple[str, ...]]:
    """Quantized modules that vLLM fuses, as tuples of at least two names."""
    present = set(modules)
    parents = sorted({module.rpartition(".")[0] for module in present})
    groups = (
        tuple(f"{parent}.{leaf}" for leaf in leaves if f"{parent}.{leaf}" in present)
        for parent in parents
        for leaves in FUSED
    )
    return [group for group in groups if len(group) > 1]
