"""The processes that tune one block together, and what they tell each other.

Every rank runs AutoRound on the whole base, one device each, and tunes its share of each block's
weights. A group of torch.distributed's carries the sums; it is not the default group, whose
presence would make AutoRound spread its own tuner.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch

PATIENCE = timedelta(minutes=30)
"""How long a rank waits for the others; they may load and calibrate at their own pace."""


class Ranks:
    """The ranks of this run.

    Args:
        meeting: a file where the ranks find each other; new for each run.
        rank: of this process.
        size: how many there are.
        device: of this rank; NCCL carries tensors of cards, gloo those of processors.

    Attributes:
        summed: bytes of the tensors that were summed over the ranks.
        agreed: bytes of the tensors that rank 0 told the others.
    """

    def __init__(self, meeting: Path, rank: int, size: int, device: torch.device) -> None:
        self.rank = rank
        self.size = size
        self.summed = 0
        self.agreed = 0
        self._device = device
        self._group = _group(meeting, rank, size, device)

    def sum(self, tensor: torch.Tensor) -> torch.Tensor:
        """Replace a tensor by its sum over the ranks."""
        self.begin_sum(tensor)()
        return tensor

    def begin_sum(self, tensor: torch.Tensor) -> Callable[[], Any]:
        """As `sum`, begun; the tensor is whole once what is returned was called."""
        self.summed += tensor.nbytes
        end: Callable[[], Any] = self._group.allreduce([tensor]).wait
        return end

    def agree(self, tensor: torch.Tensor) -> torch.Tensor:
        """Replace a tensor by rank 0's."""
        self.agreed += tensor.nbytes
        self._group.broadcast(tensor, 0).wait()
        return tensor

    def agree_on(self, *, truth: bool) -> bool:
        """Rank 0's truth value."""
        return bool(self.agree(torch.tensor([truth], device=self._device, dtype=torch.uint8)))

    def gather(self, tensor: torch.Tensor) -> list[torch.Tensor]:
        """The tensor of each rank, which all have one shape; as bytes, of whatever dtype."""
        flat = tensor.contiguous().view(torch.uint8)
        parts = [torch.empty_like(flat) for _ in range(self.size)]
        self._group.allgather([parts], [flat]).wait()
        return [part.view(tensor.dtype) for part in parts]


def _group(meeting: Path, rank: int, size: int, device: torch.device) -> Any:
    library: Any = torch.distributed
    store = library.FileStore(str(meeting), size)
    if device.type == "cuda":
        torch.cuda.set_device(device)
        return library.ProcessGroupNCCL(store, rank, size)
    return library.ProcessGroupGloo(store, rank, size, PATIENCE)


_present: Ranks | None = None


@contextmanager
def together(ranks: Ranks | None) -> Iterator[None]:
    """Let the algorithm find the ranks: AutoRound copies configurations, and would copy these."""
    global _present  # noqa: PLW0603 - one job a process
    _present = ranks
    try:
        yield
    finally:
        _present = None


def present() -> Ranks | None:
    """The ranks of this process; None where it tunes alone."""
    return _present
