"""Tensor parallel inside a block: each rank holds a share of the weights of a layer.

    query, key, value, gate, up     rows: a rank makes its heads, or its part of the width
    output, down                    columns: a rank multiplies these, and the products are summed

A block sends its activations only: [batch, tokens, hidden] after the output and the down
projection, and the gradient to the input of gate and up. The gradient to the input of query, key
and value is the block's own, and nobody needs it. Offsets, factors and the best of both never
leave their rank until the block is done.

Where heads or width do not divide, where keys and values are another block's, and where the
structure is none that is known, every rank does the whole of that part.
"""

from typing import Any, NamedTuple

import torch
from torch.nn import Module

from tasks.core.schemes import GROUP
from tasks.quantize.fused.found import Found
from tasks.quantize.fused.ranks import Ranks

ATTENTION = {"q_proj", "k_proj", "v_proj", "o_proj", "q_norm", "k_norm", "v_norm"}
FEED_FORWARD = {"gate_proj", "up_proj", "down_proj", "act_fn"}
OUT, IN = 0, 1


class Cut(NamedTuple):
    """How a layer is shared out.

    Attributes:
        dim: of the weight [out, in].
        ranks: among whom.
    """

    dim: int
    ranks: Ranks

    def own(self, tensor: torch.Tensor) -> torch.Tensor:
        """This rank's share of a weight [out, in], or of a bias [out]."""
        return tensor.chunk(self.ranks.size, self.dim)[self.ranks.rank].contiguous()

    def joined(self, share: Found, rows: int) -> Found:
        """What was found of the whole layer.

        Args:
            share: what this rank found.
            rows: of its share.
        """
        codes = torch.cat(self.ranks.gather(share.codes), self.dim)
        drops = self.ranks.gather(share.drops.view(rows, -1))
        return Found(codes, torch.cat(drops, self.dim).reshape(-1))


def cuts(block: Module, layers: dict[str, Any], ranks: Ranks) -> dict[str, Cut]:
    """The cut of each layer that is shared out, by name.

    Args:
        block: the block.
        layers: its layers that are tuned, by name.
        ranks: among whom.
    """
    found: dict[str, Cut] = {}
    for name, part in block.named_modules():
        children = [child for child, _ in part.named_children() if child.endswith("_proj")]
        inside = {f"{name}.{child}" for child in children}
        if inside and inside <= set(layers) and (_heads(part, ranks) or _width(part, ranks)):
            for each in inside:
                last = each.endswith((".o_proj", ".down_proj"))
                found[each] = Cut(IN if last else OUT, ranks)
    return found


def _heads(part: Any, ranks: Ranks) -> bool:
    """Whether this is an attention whose heads can be shared out."""
    children = {name for name, child in part.named_children() if child is not None}
    if not {"q_proj", "k_proj", "o_proj"} <= children <= ATTENTION:
        return False
    if getattr(part, "is_kv_shared_layer", False):
        return False
    norms = [getattr(part, name) for name in ("q_norm", "k_norm") if name in children]
    sizes = {p.numel() for norm in norms for p in norm.parameters()}
    whole = part.head_dim * ranks.size
    out = {part.q_proj.out_features, part.k_proj.out_features}
    return sizes <= {part.head_dim} and not any(each % whole for each in out)


def _width(part: Any, ranks: Ranks) -> bool:
    """Whether this is a gated feed-forward layer whose width can be shared out."""
    children = {name for name, _ in part.named_children()}
    if not FEED_FORWARD - {"act_fn"} <= children <= FEED_FORWARD:
        return False
    if getattr(part, "activation_sparsity", 0.0):
        return False
    return bool(part.gate_proj.out_features % (ranks.size * GROUP) == 0)
