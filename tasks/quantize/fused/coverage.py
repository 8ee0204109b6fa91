"""Whether the fused tuner covers a block; what it does not cover is left to AutoRound."""

from typing import Any

import torch

from tasks.core.schemes import GROUP

WEIGHTS = "nv_fp"
INPUTS = "nv_fp4_with_static_gs"
BITS = 4
PLAIN = {
    "momentum": 0.0,
    "lr_scheduler": None,
    "gradient_accumulate_steps": 1,
    "enable_norm_bias_tuning": False,
    "not_use_best_mse": False,
    "dynamic_max_gap": -1,
    "enable_minmax_tuning": True,
    "enable_alg_ext": False,
    "enable_lfq": False,
    "enable_neuqi": False,
}
"""Values of AutoRound's options that the fused tuner implements."""


def uncovered(
    config: Any, block: torch.nn.Module, layers: dict[str, torch.nn.Module], inputs: object
) -> str:
    """Why a block is not covered; empty where it is.

    Args:
        config: AutoRound's configuration of the algorithm.
        block: the block.
        layers: its layers that are to be quantized, by name.
        inputs: AutoRound's cached inputs of the block.
    """
    if not config.iters or not layers:
        return "there is nothing to tune"
    for option, value in PLAIN.items():
        if getattr(config, option) != value:
            return f"{option} is {getattr(config, option)!r}"
    if not isinstance(inputs, list):
        return f"its inputs are cached as {type(inputs).__name__}"
    if any("expert" in name for name, _ in block.named_modules()):
        return "it has experts"
    return next(filter(None, (_of_layer(name, each) for name, each in layers.items())), "")


def _of_layer(name: str, layer: Any) -> str:
    scheme = (layer.data_type, layer.bits, layer.group_size, layer.act_data_type, layer.act_bits)
    if scheme != (WEIGHTS, BITS, GROUP, INPUTS, BITS) or not layer.act_dynamic:
        return f"{name} has the scheme {scheme}"
    if type(layer) is not torch.nn.Linear or layer.in_features % GROUP:
        return f"{name} is a {type(layer).__name__} of shape {tuple(layer.weight.shape)}"
    if layer._forward_hooks or layer._forward_pre_hooks:  # noqa: SLF001
        return f"{name} has hooks"
    return "" if getattr(layer, "act_max", None) is not None else f"{name} saw no sample"
