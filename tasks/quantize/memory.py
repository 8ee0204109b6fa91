"""Memory of processes that quantize."""

import os

HUGE_PAGES = {"THP_MEM_ALLOC_ENABLE": "1"}
"""Lets torch ask for huge pages: fresh memory for a block's scales and packed weights then costs a
fault each 2 MB and not each 4 KB. torch reads it when it makes its first tensor."""
SMALL_CARD = 15e9
"""Bytes. AutoRound packs a layer by its distance to each of eight values: two tensors of 32 bytes a
weight, 3.7 GB each for the feed-forward layers of gemma-4-31B, beside the block."""
_COMPILED_PACKING = "AR_ENABLE_COMPILE_PACKING"


def pack_within(card: float) -> None:
    """Let AutoRound compile its packing, which then needs no such tensors, where a card is small.

    Args:
        card: bytes of its memory.
    """
    if card < SMALL_CARD:
        os.environ[_COMPILED_PACKING] = "1"
