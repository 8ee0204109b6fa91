"""Blocks are read from the base's shards when their turn comes, and dropped when they are done.

AutoRound starts from a skeleton on the meta device, reads one block at a time, and writes a block's
packed weights before the next. So host memory holds what lies outside the blocks, a block, three
sets of hidden states and one shard that is being filled, however deep the base is.
"""

import os
from pathlib import Path

import torch
from auto_round.utils.device_manager import get_ar_device
from auto_round.utils.disk_stream_util import set_module_tensor_to_device
from auto_round.utils.offload import load_block_from_model_files

from tasks.quantize.accounting import Batch, read_batches
from tasks.quantize.visiting import Visits, tensors

SWITCH = "AR_DISK_STREAM_MODEL"
SHARD_BYTES = 1 << 30
"""Most of the output that waits in memory to be written."""
TOKENS = 1 << 15
"""Tokens of a forward pass through a streamed base, each of which reads the whole base."""


def start(device: torch.device) -> bool:
    """Make AutoRound stream the base from here on, where it can; whether it will.

    It streams BF16 weights alone, so a processor that tunes in FP32 holds the base as a whole.
    """
    able = bool(get_ar_device(str(device)).supports_bf16())
    if able:
        os.environ[SWITCH] = "1"
    return able


def wide_batches(samples: Path, size: int, seqlen: int) -> list[Batch]:
    """The calibration set in few batches, so that a streamed base is read few times."""
    return read_batches(samples, max(size, TOKENS // seqlen))


def reading(folder: Path) -> Visits:
    """Visits for which a block is read from the base's shards, and dropped after.

    Args:
        folder: of the base.
    """

    def come(name: str, block: torch.nn.Module, device: torch.device) -> None:
        load_block_from_model_files(str(folder), name, block)
        block.to(device)

    def leave(block: torch.nn.Module) -> None:
        for name, _ in list(tensors(block)):
            set_module_tensor_to_device(block, name, "meta")

    return Visits(come, leave)
