"""What first use costs on a card, paid while the base is still being read.

The first block would wait for compiling processes to start and to load Triton, for Triton's driver
and our programs to be compiled, and for torch's compiler to be loaded. Threads do all that on a few
numbers; what remains to the first block of a shape is the compiling of its own parts.
"""

import logging
import threading
import time
from collections.abc import Callable

import torch
from torch.nn import functional

from tasks.kernels.fused.compiled import THREADS, start_compilers
from tasks.kernels.fused.kernels import Fused
from tasks.kernels.state import LayerState, Quanta, input_divisor

SIDE = 64
_log = logging.getLogger(__name__)
_threads: list[threading.Thread] = []


def start(device: torch.device, precision: str) -> None:
    """Begin, in threads.

    Args:
        device: a card.
        precision: of gradients' matrix products, `bf16` or `fp8`.
    """
    for work in (lambda: compiler(device), lambda: programs(device, precision)):
        thread = threading.Thread(target=_quietly, args=(device, work), daemon=True)
        thread.start()
        _threads.append(thread)


def wait() -> None:
    """Wait until all that was started is done."""
    while _threads:
        _threads.pop().join()


def compiler(device: torch.device, backend: str = "inductor") -> None:
    """Compile a function with its gradient: enough programs that each process has its first one."""
    start_compilers()
    parts = [
        torch.ones(SIDE, SIDE * size, dtype=torch.bfloat16, device=device, requires_grad=True)
        for size in range(1, THREADS + 1)
    ]
    made = torch.compile(_part, backend=backend, dynamic=False)(parts)
    torch.autograd.backward([each.sum() for each in made])


def programs(device: torch.device, precision: str) -> None:
    """Compile and load our programs for bfloat16 and for sides that divide by 16."""
    kernels = Fused(precision)
    weight = torch.ones(SIDE, SIDE, dtype=torch.bfloat16, device=device)
    divisor = input_divisor(weight.abs().max())
    state = LayerState(weight, divisor, Quanta.of(200, 1 / 200, 1 / 200))
    pace = torch.ones((), dtype=torch.int32, device=device)
    better = torch.ones((), dtype=torch.bool, device=device)
    kernels.quantize_weight(state)
    kernels.step(state, weight, pace, better)
    kernels.both_inputs(weight, divisor, turn=precision == "fp8")
    kernels.input_gradient(weight, divisor, weight)
    made = weight.clone().requires_grad_()
    torch.autograd.backward(kernels.squared_error(made, weight))
    if precision == "fp8":
        from tasks.kernels.fused.casts import cast

        for plain in (True, False):
            cast(weight, plain=plain)


def _part(parts: list[torch.Tensor]) -> list[torch.Tensor]:
    return [
        x + functional.gelu(functional.rms_norm(x, x.shape[-1:]), approximate="tanh") * x
        for x in parts
    ]


def _stream(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


def _quietly(device: torch.device, work: Callable[[], None]) -> None:
    begun = time.monotonic()
    try:
        with torch.cuda.device(device), torch.cuda.stream(_stream(device)):
            work()
            torch.cuda.current_stream().synchronize()
    except Exception as error:  # noqa: BLE001 - the first block meets it again, and copes
        _log.warning("kernels could not be made ready: %s", error)
    else:
        _log.info("kernels are ready after %.1f s", time.monotonic() - begun)
