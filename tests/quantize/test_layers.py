"""The layers that are quantized, in names."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.core.checkpoint import Checkpoint
from tasks.core.errors import BaseModelError, QuantizeError
from tasks.core.recipe import Recipe
from tasks.core.schemes import quantized_modules
from tasks.quantize.layers import check_planned, decoder_blocks, kept_modules

STACK = "model.language_model.layers"
KEEP = (".*vision_tower.*", rf".*{STACK}\.0\.mlp.*")


def test_every_layer_is_kept_or_quantized(base: Path, recipe: Callable[..., Recipe]) -> None:
    """Each two-dimensional weight of a block is either named as kept or quantized."""
    tensors = Checkpoint(base).tensors
    chosen = recipe(keep=KEEP)
    kept, quantized = kept_modules(tensors, chosen), quantized_modules(tensors, chosen)
    in_blocks = {
        name.removesuffix(".weight")
        for name, spec in tensors.items()
        if ".layers." in name and len(spec.shape) == 2
    }
    assert sorted([*kept, *quantized]) == sorted(in_blocks)
    assert f"{STACK}.0.mlp.gate_proj" in kept
    assert f"{STACK}.1.mlp.gate_proj" in quantized
    assert not any("," in name for name in kept)


def test_blocks_are_in_the_order_of_the_forward_pass() -> None:
    """Numbers are compared as numbers, and blocks without a quantized layer count too."""
    tensors = [f"{STACK}.{n}.mlp.up_proj.weight" for n in range(12)] + ["v.layers.0.q.weight"]
    blocks = decoder_blocks(tensors, [f"{STACK}.10.mlp.up_proj", f"{STACK}.2.mlp.up_proj"])
    assert blocks == tuple(f"{STACK}.{n}" for n in range(12))


@pytest.mark.parametrize("modules", [[], ["a.layers.0.q", "b.layers.0.q"]])
def test_layers_of_several_stacks_are_refused(modules: list[str]) -> None:
    """AutoRound tunes one stack; a recipe that reaches into another is refused."""
    with pytest.raises(BaseModelError, match="one stack"):
        decoder_blocks([f"{name}.weight" for name in modules], modules)


@pytest.mark.parametrize("planned", [{"a"}, {"a", "b", "c"}])
def test_another_plan_is_refused(planned: set[str]) -> None:
    """A layer that AutoRound would leave out or add ends the run."""
    plan = {name: {"bits": 4 if name in planned else 16} for name in "abc"}
    check_planned({"a": {"bits": 4}, "b": {"bits": 4}, "c": {"bits": 16}}, ["a", "b"])
    with pytest.raises(QuantizeError, match="other layers than the recipe says"):
        check_planned(plan, ["a", "b"])
