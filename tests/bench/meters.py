"""Time and memory of a piece of work, and what its matrix products alone take."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch


def timed(function: Callable[[], Any]) -> tuple[Any, float]:
    """What a function gives, and its seconds, the device's work included."""
    _wait()
    start = time.perf_counter()
    made = function()
    _wait()
    return made, time.perf_counter() - start


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def forget_peak() -> None:
    """Forget the peaks of memory so far."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    Path("/proc/self/clear_refs").write_text("5")  # Linux's way to forget the peak so far


def peak() -> dict[str, int]:
    """Bytes at most since the peak was forgotten."""
    status = Path("/proc/self/status").read_text().partition("VmHWM:")[2]
    card = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0
    return {"peak_ram": int(status.split()[0]) * 1024, "peak_vram": card}


def products(block: torch.nn.Module, calibration: Any, dtype: torch.dtype) -> float:
    """Least seconds of an iteration's matrix products by themselves."""
    tokens = calibration.batch_size * calibration.seqlen
    return sum(
        _three_products(layer.weight.to(dtype), tokens)
        for layer in block.modules()
        if isinstance(layer, torch.nn.Linear)
    )


def _three_products(weight: torch.Tensor, tokens: int) -> float:
    x = torch.randn(tokens, weight.shape[1], device=weight.device, dtype=weight.dtype)
    y = torch.randn(tokens, weight.shape[0], device=weight.device, dtype=weight.dtype)
    return min(timed(lambda: (x @ weight.t(), y @ weight, y.t() @ x))[1] for _ in range(5))
