"""The calibration set as AutoRound takes it, with every sample accounted for.

AutoRound's multimodal path counts each item of a data set as a whole batch, so samples come as
batches; it logs and skips a forward pass that fails, and goes on with fewer samples. So samples are
counted where they reach the first block, and a batch that got lost ends the run before tuning.
A batch may mix samples with and without an image: Gemma 4 spreads a batch's images over its image
tokens in order. While AutoRound replays a block of Gemma 4 it builds a causal mask anew, so image
tokens never look ahead within their picture there, whatever `use_bidirectional_attention` says.
"""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from tasks.core.errors import QuantizeError, ResourceError

TYPES = "mm_token_type_ids"
INDEX = "image.index"
IMAGE = "image."
SKIPPED = "Calibration forward pass failed"
Batch = dict[str, torch.Tensor]


def read_batches(samples: Path, size: int) -> list[Batch]:
    """The calibration set in batches, in order.

    Args:
        samples: `input_ids` int32 [samples, seqlen]; with images also `mm_token_type_ids` of that
            shape, `image.index` int32 [images] and `image.<name>` [images, …].
        size: samples of a batch; the last may be smaller.

    Returns:
        Of each batch `input_ids` int64 [size, seqlen]; where the set has images also
        `mm_token_type_ids`, and where the batch has some their tensors [images, …].
    """
    tensors = load_file(samples)
    count = len(tensors["input_ids"])
    return [_batch(tensors, start, min(start + size, count)) for start in range(0, count, size)]


def _batch(tensors: Batch, start: int, stop: int) -> Batch:
    batch = {"input_ids": tensors["input_ids"][start:stop].long()}
    if INDEX in tensors:
        batch[TYPES] = tensors[TYPES][start:stop].long()
        here = (tensors[INDEX] >= start) & (tensors[INDEX] < stop)
        if here.any():
            batch |= {
                name.removeprefix(IMAGE): _wide(value[here])
                for name, value in tensors.items()
                if name.startswith(IMAGE) and name != INDEX
            }
    return batch


def _wide(value: torch.Tensor) -> torch.Tensor:
    return value if value.is_floating_point() else value.long()


class CountedBatches:
    """A data set for AutoRound that knows how many of its samples reached the first block.

    Args:
        batches: of the calibration set.
        block: gives the first block, when AutoRound starts to ask for samples.
        before: called at that moment; what it raises ends the run.

    Attributes:
        arrived: samples that reached the first block.
    """

    def __init__(
        self,
        batches: list[Batch],
        block: Callable[[], torch.nn.Module],
        before: Callable[[], None],
    ) -> None:
        self._batches = batches
        self._block = block
        self._before = before
        self.arrived = 0

    def __iter__(self) -> Iterator[Batch]:
        """Hand out the batches.

        AutoRound asks for another batch after the last one only where one was lost.

        Raises:
            ResourceError: a batch did not fit into memory.
            QuantizeError: a batch was lost in another way.
        """
        self._before()
        self.arrived = sent = 0
        skipped = _Skipped()
        counting = self._block().register_forward_pre_hook(self._count, with_kwargs=True)
        try:
            for batch in self._batches:
                sent += len(batch["input_ids"])
                yield batch
                if self.arrived != sent:
                    raise _lost(sent - self.arrived, skipped.reason)
        finally:
            counting.remove()
            skipped.remove()

    def _count(self, _block: torch.nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
        hidden = args[0] if args else kwargs["hidden_states"]
        self.arrived += len(hidden)


class _Skipped(logging.Handler):
    """Keeps AutoRound's reason for skipping a batch, which it tells its log alone."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.reason = ""
        self._logger = logging.getLogger("autoround")
        self._logger.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if message.startswith(SKIPPED):
            self.reason = message.removeprefix(SKIPPED).lstrip(": ")

    def remove(self) -> None:
        self._logger.removeHandler(self)


def _lost(count: int, reason: str) -> QuantizeError | ResourceError:
    what = f"{count} calibration samples did not reach the first block"
    if "out of memory" in reason:
        return ResourceError(
            what, found=reason, remedy="lower tuning.batch_size or calibration.seqlen"
        )
    return QuantizeError(what, expected="all of them", found=reason or "no reason in the log")
