"""Linear layers as AutoRound prepares them for NVFP4."""

from typing import Any

import torch

SCHEME = {
    "bits": 4,
    "group_size": 16,
    "sym": True,
    "data_type": "nv_fp",
    "act_bits": 4,
    "act_group_size": 16,
    "act_sym": True,
    "act_data_type": "nv_fp4_with_static_gs",
    "act_dynamic": True,
    "scale_dtype": torch.float32,
}


def linear(weight: torch.Tensor, bias: torch.Tensor | None = None) -> Any:
    """A linear layer as AutoRound prepares one for NVFP4."""
    layer: Any = torch.nn.Linear(
        weight.shape[1], weight.shape[0], bias=bias is not None, dtype=weight.dtype
    )
    layer.weight.data.copy_(weight)
    if bias is not None:
        layer.bias.data.copy_(bias)
    for name, value in SCHEME.items():
        setattr(layer, name, value)
    layer.act_max = torch.tensor([3.0])
    layer.weight_global_scale = 448 * 6 / weight.float().abs().max().clamp_min(1e-30)
    return layer
