"""What first use costs on a card, paid while the base is still being read.

The first block would wait for compiling processes to start, for Triton's driver and our programs to
be compiled, and for torch's compiler to be loaded. A thread does all that on a few numbers; what
remains to the first block of a shape is the compiling of its own parts.
"""

import logging
import threading
import time

import torch
from torch.nn import functional

from tasks.kernels.fused.compiled import start_compilers
from tasks.kernels.fused.kernels import Fused
from tasks.kernels.state import LayerState, Quanta, input_divisor

SIDE = 64
_log = logging.getLogger(__name__)
_threads: list[threading.Thread] = []


def start(device: torch.device, precision: str) -> None:
    """Begin, in a thread.

    Args:
        device: a card.
        precision: of gradients' matrix products, `bf16` or `fp8`.
    """
    thread = threading.Thread(target=_quietly, args=(device, precision), daemon=True)
    thread.start()
    _threads.append(thread)


def wait() -> None:
    """Wait until all that was started is done."""
    while _threads:
        _threads.pop().join()


def warm(device: torch.device, precision: str, backend: str = "inductor") -> None:
    """Run every program once, and compile a little function with its gradient."""
    start_compilers()
    programs(device, precision)
    x = torch.ones(SIDE, SIDE, dtype=torch.bfloat16, device=device, requires_grad=True)
    torch.autograd.backward(torch.compile(_part, backend=backend, dynamic=False)(x).sum())


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
    if precision == "fp8":
        from tasks.kernels.fused.casts import cast

        for plain in (True, False):
            cast(weight, plain=plain)


def _part(x: torch.Tensor) -> torch.Tensor:
    return x + functional.gelu(functional.rms_norm(x, x.shape[-1:]), approximate="tanh") * x


def _stream(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


def _quietly(device: torch.device, precision: str) -> None:
    begun = time.monotonic()
    try:
        with torch.cuda.device(device), torch.cuda.stream(_stream(device)):
            warm(device, precision)
            torch.cuda.current_stream().synchronize()
    except Exception as error:  # noqa: BLE001 - the first block meets it again, and copes
        _log.warning("kernels could not be made ready: %s", error)
    else:
        _log.info("kernels are ready after %.1f s", time.monotonic() - begun)
