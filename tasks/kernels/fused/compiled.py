"""What lies between a block's tuned layers, compiled.

`torch.compile` takes the block apart at its tuned layers (they are opaque to it) and fuses norms,
residuals, activations and the rest. Compiled code belongs to the code of the block's class, not to
a block: the second block of a shape finds it there. If compiling fails the block runs as it is.

Tile sizes are torch's first guess: to try several costs half of first use, and what lies between
the layers is a twelfth of an iteration.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

THREADS = max(1, min(8, (os.cpu_count() or 1) // 2))
"""Compiling processes; each holds half a gigabyte of host memory."""
SHAPES = 64
"""Versions of a function that torch keeps; the usual eight are few for several kinds of block."""


@contextmanager
def compiled(block: torch.nn.Module, backend: str | Any = "inductor") -> Iterator[None]:
    """Run a block compiled.

    Args:
        block: with its tuned layers in place.
        backend: of torch.compile.
    """
    from torch._dynamo import config as tracing

    limit_work()
    block.compile(backend=backend, dynamic=False)
    try:
        with tracing.patch(recompile_limit=SHAPES, suppress_errors=True):
            yield
    finally:
        block._compiled_call_impl = None  # noqa: SLF001 - nn.Module.compile has no way back


def start_compilers() -> None:
    """Start the processes that compile; the first of them takes seconds."""
    from torch._inductor.async_compile import AsyncCompile

    limit_work()
    AsyncCompile.warm_pool()
    AsyncCompile.wakeup()


def limit_work() -> None:
    """Few compiling processes, one tile size a program; before anything is compiled."""
    from torch._inductor import config as compiling

    compiling.compile_threads = THREADS
    compiling.triton.autotune_pointwise = False
