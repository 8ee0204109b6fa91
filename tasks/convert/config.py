"""The release's config.json: the base's, plus what compressed-tensors needs to know.

Source of the shape: `compressed_tensors.quantization.QuantizationConfig` and its NVFP4 preset.
"""

import re
from collections.abc import Iterable
from typing import Any

from tasks.core.ignore import LM_HEAD, REGEX, ignored
from tasks.core.recipe import Recipe
from tasks.core.schemes import GROUP

FORMAT = "nvfp4-pack-quantized"
_OUTER = re.compile(r"^(model\.)?(language_model\.)?(model\.)?")


def ignore_list(recipe: Recipe, unquantized: Iterable[str]) -> tuple[str, ...]:
    """compressed-tensors' `ignore`: the recipe's patterns, and what they leave out.

    Args:
        recipe: its `keep` patterns become regexes as they are.
        unquantized: Linears that are stored unquantized. One that the patterns do not name under
            each name its readers know gets a regex of its own.
    """
    entries = [REGEX + pattern for pattern in recipe.keep]
    for module in sorted({*unquantized, LM_HEAD}):
        if not ignored(module, entries):
            entries.append(rf"{REGEX}(.*\.)?{re.escape(_OUTER.sub('', module))}$")
    return tuple(entries)


def quantization_config(ignore: Iterable[str]) -> dict[str, Any]:
    """The `quantization_config` of an NVFP4 checkpoint: weights and activations, W4A4."""
    weights = {
        "num_bits": 4,
        "type": "float",
        "symmetric": True,
        "group_size": GROUP,
        "strategy": "tensor_group",
        "dynamic": False,
        "scale_dtype": "torch.float8_e4m3fn",
    }
    group = {
        "targets": ["Linear"],
        "weights": weights,
        "input_activations": weights | {"dynamic": "local", "observer": "static_minmax"},
        "output_activations": None,
        "format": FORMAT,
    }
    return {
        "config_groups": {"group_0": group},
        "quant_method": "compressed-tensors",
        "kv_cache_scheme": None,
        "format": FORMAT,
        "quantization_status": "compressed",
        "global_compression_ratio": None,
        "ignore": list(ignore),
    }
