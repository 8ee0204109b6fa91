"""Which layers AutoRound is to quantize, said in full names and checked against its own plan."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from tasks.core.errors import BaseModelError, QuantizeError
from tasks.core.recipe import Recipe
from tasks.core.schemes import WEIGHT, TensorSpec, quantized_modules

BLOCK = re.compile(r"(?P<list>.+\.layers)\.(?P<number>\d+)\.")
FULL_PRECISION_BITS = 16


def kept_modules(tensors: Mapping[str, TensorSpec], recipe: Recipe) -> tuple[str, ...]:
    """Layers of blocks that the recipe keeps, by full name.

    AutoRound takes names without a comma or a pattern for exactly those layers; its reading of
    patterns differs from the recipe's.
    """
    everything = quantized_modules(tensors, recipe.model_copy(update={"keep": ()}))
    return tuple(sorted(set(everything) - set(quantized_modules(tensors, recipe))))


def decoder_blocks(tensors: Iterable[str], modules: Iterable[str]) -> tuple[str, ...]:
    """The blocks of the stack that holds the layers to quantize, first to last.

    Raises:
        BaseModelError: the layers lie in no stack of blocks, or in several.
    """
    stacks = {found["list"] for name in modules if (found := BLOCK.match(name))}
    if len(stacks) != 1:
        raise BaseModelError(
            "the layers to quantize do not lie in one stack of decoder blocks",
            expected="one list of blocks, such as model.language_model.layers",
            found=", ".join(sorted(stacks)) or "none",
            remedy="mend the recipe's keep",
        )
    stack = stacks.pop()
    matches = [BLOCK.match(name) for name in tensors if name.endswith(WEIGHT)]
    numbers = {int(match["number"]) for match in matches if match and match["list"] == stack}
    return tuple(f"{stack}.{number}" for number in sorted(numbers))


def check_planned(planned: Mapping[str, Mapping[str, Any]], modules: Iterable[str]) -> None:
    """Compare AutoRound's plan with the layers that were asked for.

    Args:
        planned: AutoRound's resolved settings of each layer.
        modules: layers to quantize.

    Raises:
        QuantizeError: it would leave one of them, or touch another.
    """
    would = {name for name, layer in planned.items() if layer["bits"] < FULL_PRECISION_BITS}
    wanted = set(modules)
    if would != wanted:
        raise QuantizeError(
            "AutoRound would quantize other layers than the recipe says",
            expected=f"{len(wanted)} layers",
            found=f"{len(would)} layers; left out {sorted(wanted - would)[:4]}, "
            f"taken besides {sorted(would - wanted)[:4]}",
            remedy="mend the recipe's keep, or choose a base of a kind that is covered",
        )
