"""Which kernels run where."""

import importlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import torch

from tasks.kernels.eager import Eager
from tasks.kernels.fused.compiled import compiled
from tasks.kernels.linear import Kernels, Pace
from tasks.kernels.native import Native, available

EIGHT_BITS = (8, 9)
"""Least compute capability of a card with FP8 matrix units."""
_log = logging.getLogger(__name__)


def select(device: torch.device, gradient_precision: str = "bf16") -> Kernels:
    """The fastest kernels that run on a device.

    Triton's on a card, compiled C on a CPU that has a compiler, else plain torch. What is missing
    is logged.

    Args:
        device: of the blocks.
        gradient_precision: `bf16` or `fp8`, of gradients' matrix products; only cards have `fp8`.
    """
    if device.type == "cuda":
        try:
            fused = importlib.import_module("tasks.kernels.fused.kernels")
        except ImportError as missing:
            _log.warning("no Triton kernels, eager ones instead: %s", missing)
            return Eager()
        if gradient_precision == "fp8" and torch.cuda.get_device_capability(device) < EIGHT_BITS:
            _log.warning("this card has no FP8 products: gradients are multiplied in bf16")
            gradient_precision = "bf16"
        made: Kernels = fused.Fused(gradient_precision)
        return made
    if device.type == "cpu" and available():
        return Native()
    return Eager()


def make_ready(device: torch.device, gradient_precision: str) -> None:
    """Begin to compile what first use would wait for, in a thread; nothing where nothing would."""
    if device.type == "cuda":
        with suppress(ImportError):
            importlib.import_module("tasks.kernels.fused.warm").start(device, gradient_precision)


def wait_ready(device: torch.device) -> None:
    """Wait for what `make_ready` began."""
    if device.type == "cuda":
        with suppress(ImportError):
            importlib.import_module("tasks.kernels.fused.warm").wait()


def pace_of(kernels: Kernels, device: torch.device) -> Pace:
    """What the layers of a block share, as fits the kernels."""
    if kernels.name != "triton":
        return Pace(kernels, device)
    made: Pace = importlib.import_module("tasks.kernels.fused.pace").FusedPace(kernels, device)
    return made


@contextmanager
def running(block: torch.nn.Module, pace: Pace) -> Iterator[None]:
    """Run a block as fits its kernels: compiled around its layers on a card, else as it is."""
    if pace.recorder is None:
        yield
        return
    with compiled(block):
        yield
