"""A block that is tuned alone keeps nothing for others.

Gemma 4's last block of each kind of attention stores its keys and values for blocks that share
them. While it is tuned nobody reads those; without them its code is that of the blocks before it,
which is compiled already, and ranks can share out its heads.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from torch.nn import Module

STORES = "store_full_length_kv"


@contextmanager
def keeping_nothing(block: Module) -> Iterator[None]:
    """Run a block that stores nothing.

    Args:
        block: stores as before at the end.
    """
    storing = [part for part in block.modules() if getattr(part, STORES, False) is True]
    for part in storing:
        setattr(part, STORES, False)
    try:
        yield
    finally:
        for part in storing:
            setattr(part, STORES, True)
