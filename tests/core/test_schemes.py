"""Which tensors NVFP4 covers, and what it stores for them."""

from hypothesis import given
from hypothesis import strategies as st

from tasks.core.recipe import load_recipe
from tasks.core.schemes import (
    TensorSpec,
    fused_groups,
    packed_tensors,
    quantized_modules,
    release_tensors,
)

RECIPE = load_recipe("gemma-4-31b-it-nvfp4")
BLOCK = "model.language_model.layers"
PARTS = ("weight_packed", "weight_scale", "weight_global_scale", "input_global_scale")


def _matrix(rows: int = 32, columns: int = 64) -> TensorSpec:
    return TensorSpec("BF16", (rows, columns))


TENSORS = {
    f"{BLOCK}.0.self_attn.q_proj.weight": _matrix(),
    f"{BLOCK}.0.self_attn.k_proj.weight": _matrix(16),
    f"{BLOCK}.0.mlp.gate_proj.weight": _matrix(128),
    f"{BLOCK}.0.mlp.up_proj.weight": _matrix(128),
    f"{BLOCK}.0.mlp.down_proj.weight": _matrix(64, 128),
    f"{BLOCK}.0.mlp.odd.weight": _matrix(32, 24),
    f"{BLOCK}.0.self_attn.q_proj.bias": _matrix(),
    f"{BLOCK}.0.input_layernorm.weight": TensorSpec("BF16", (64,)),
    "model.language_model.embed_tokens.weight": _matrix(),
    "lm_head.weight": _matrix(),
    "model.vision_tower.encoder.layers.0.mlp.up_proj.linear.weight": _matrix(),
    "model.embed_vision.embedding_projection.weight": _matrix(),
}


def test_linears_of_decoder_blocks_are_quantized_and_nothing_else() -> None:
    """Norms, biases, embeddings, head, vision and rows that leave a rest stay as they are."""
    assert quantized_modules(TENSORS, RECIPE) == [
        f"{BLOCK}.0.mlp.down_proj",
        f"{BLOCK}.0.mlp.gate_proj",
        f"{BLOCK}.0.mlp.up_proj",
        f"{BLOCK}.0.self_attn.k_proj",
        f"{BLOCK}.0.self_attn.q_proj",
    ]


def test_a_quantized_weight_becomes_four_tensors() -> None:
    """The release has four tensors for each quantized weight and all others unchanged."""
    modules = quantized_modules(TENSORS, RECIPE)
    release = release_tensors(TENSORS, modules)
    replaced = {f"{module}.weight" for module in modules}
    assert {n: s for n, s in TENSORS.items() if n not in replaced}.items() <= release.items()
    assert release.keys() - TENSORS.keys() == {f"{m}.{part}" for m in modules for part in PARTS}
    assert release.keys() & replaced == set()


@given(rows=st.integers(1, 1 << 20), groups=st.integers(1, 1 << 12))
def test_four_and_a_half_bits_a_weight(rows: int, groups: int) -> None:
    """Packed tensors take 9/16 of a byte a weight, and two global scales."""
    packed = packed_tensors("m", rows, groups * 16)
    weights = rows * groups * 16
    assert sum(spec.nbytes for spec in packed.values()) == weights // 2 + weights // 16 + 8


def test_fused_groups_are_siblings() -> None:
    """q, k, v and gate, up of one parent fuse; a layer without a partner does not."""
    modules = quantized_modules(TENSORS, RECIPE)
    assert fused_groups([*modules, f"{BLOCK}.1.mlp.up_proj"]) == [
        (f"{BLOCK}.0.mlp.gate_proj", f"{BLOCK}.0.mlp.up_proj"),
        (f"{BLOCK}.0.self_attn.q_proj", f"{BLOCK}.0.self_attn.k_proj"),
    ]
