"""Each block of a base visits the device for its own forward pass; all else stays meanwhile."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch.nn import Module


class Visits(NamedTuple):
    """How a block comes and leaves.

    Attributes:
        come: called with a block's name, the block and the device before its forward pass.
        leave: called with the block after it.
    """

    come: Callable[[str, Module, torch.device], None]
    leave: Callable[[Module], None]


HELD = Visits(lambda _, block, device: _move(block, device), lambda block: _move(block, "cpu"))
"""Visits of blocks that live in host memory."""


@contextmanager
def visiting(
    model: Module, blocks: Sequence[str], device: torch.device, visits: Visits = HELD
) -> Iterator[None]:
    """Let the blocks of a base visit a device.

    Args:
        model: the base, on the CPU; it is there again afterwards.
        blocks: names of its blocks.
        device: where to compute.
        visits: how they come and leave.
    """
    if device.type == "cpu" and visits is HELD:
        yield
        return
    inside = {name: model.get_submodule(name) for name in blocks}
    hooks = [
        block.register_forward_pre_hook(lambda b, _, name=name: visits.come(name, b, device))
        for name, block in inside.items()
    ]
    hooks += [
        block.register_forward_hook(lambda b, *_: visits.leave(b)) for block in inside.values()
    ]
    _move_outside(model, inside.values(), device)
    try:
        yield
    finally:
        for each in hooks:
            each.remove()
        _move_outside(model, inside.values(), "cpu")
        if device.type == "cuda":
            torch.cuda.empty_cache()


def tensors(module: Module) -> Iterator[tuple[str, torch.Tensor]]:
    """Names and values of a module's parameters and buffers."""
    yield from module.named_parameters()
    yield from module.named_buffers()


def _move(block: Module, device: torch.device | str) -> None:
    block.to(device)


def _move_outside(model: Module, blocks: Collection[Module], device: torch.device | str) -> None:
    inside = {id(module) for block in blocks for module in block.modules()}
    for module in model.modules():
        if id(module) not in inside:
            for tensor in (*module.parameters(recurse=False), *module.buffers(recurse=False)):
                tensor.data = tensor.data.to(device)
