"""What tuning makes small: the squared error of a block's output on its calibration samples."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch.nn import functional

from tasks.kernels.eager import Eager
from tasks.kernels.fused.feed import stacked

EAGER = Eager()


class Loss(NamedTuple):
    """Loss of one batch; scalars.

    Attributes:
        objective: mean squared error, with a graph where gradients are on.
        reported: what AutoRound reports and compares: the same, over the count of valid tokens
            where some are masked.
    """

    objective: torch.Tensor
    reported: torch.Tensor


class Picked(NamedTuple):
    """One batch.

    Attributes:
        arguments: of the block.
        targets: [batch, tokens, width].
        mask: integer [batch, tokens, 1], or None.
    """

    arguments: dict[str, Any]
    targets: torch.Tensor
    mask: torch.Tensor | None


class Problem:
    """A block with its inputs and the outputs it should have.

    Args:
        block: is called; its layers are replaced from outside.
        runner: AutoRound's block runner, with its mixed precision.
        inputs: one [1, tokens, width] a sample.
        others: the block's further arguments, as AutoRound caches them.
        targets: one [1, tokens, width] a sample, of the block before quantization.
        masks: one integer [1, tokens] a sample, 1 where a token counts; None counts all.
        device: where the block runs.
        error: mean squared error of two tensors, in float32.

    Attributes:
        device: where the block runs.
    """

    def __init__(
        self,
        block: torch.nn.Module,
        runner: Any,
        inputs: Sequence[torch.Tensor],
        others: Mapping[str, Any],
        targets: Sequence[torch.Tensor],
        masks: Sequence[torch.Tensor] | None,
        device: torch.device,
        error: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] = EAGER.squared_error,
    ) -> None:
        self._block = block
        self._runner = runner
        self._inputs = inputs
        self._others = dict(others)
        self._targets = targets
        self._masks = masks
        self.device = device
        self._error = error

    def __len__(self) -> int:
        return len(self._inputs)

    def pick(self, batch: Sequence[int]) -> Picked:
        """What the block is given for a batch of samples, and what it should give.

        AutoRound's runner looks at tensors while it completes the arguments, which waits for the
        device; so that is done here, apart from the loss.
        """
        inputs = self._stack(self._inputs, batch)
        _, others = self._runner.select_batch({}, self._others, torch.tensor(batch))
        arguments = self._runner.block_forward(
            _Arguments(self._block), inputs, others, device=self.device, output_return_id=None
        )
        mask = None if self._masks is None else self._stack(self._masks, batch).unsqueeze(-1)
        return Picked(arguments, self._stack(self._targets, batch), mask)

    def loss(self, batch: Sequence[int]) -> Loss:
        """Run the block on a batch of samples."""
        return self.loss_of(self.pick(batch))

    def loss_of(self, picked: Picked) -> Loss:
        """Run the block on what was picked."""
        runner = self._runner
        with torch.autocast(self.device.type, runner.amp_dtype, enabled=runner.amp):
            made = self._block(**picked.arguments)
        made = made if isinstance(made, torch.Tensor) else made[0]
        wanted = picked.targets
        if picked.mask is None:
            error = self._error(made, wanted)
            return Loss(error, error.detach())
        error = functional.mse_loss((made * picked.mask).float(), (wanted * picked.mask).float())
        return Loss(error, error.detach() / picked.mask.count_nonzero().clamp_min(1))

    def _stack(self, samples: Sequence[torch.Tensor], batch: Sequence[int]) -> torch.Tensor:
        return stacked([samples[number] for number in batch], self._runner.batch_dim, self.device)


class _Arguments:
    """Stands in for a block, and gives back the arguments it is called with."""

    def __init__(self, block: torch.nn.Module) -> None:
        self._block = block

    def __getattr__(self, name: str) -> Any:
        return getattr(self._block, name)

    def __call__(self, **arguments: Any) -> dict[str, Any]:
        return arguments
