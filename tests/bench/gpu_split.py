"""Where the time of an iteration goes, and what the card could do at best."""

import re
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

PARTS = {
    "between ranks": re.compile(r"nccl", re.IGNORECASE),
    "attention": re.compile(r"flash|fmha|sdpa|mha|attention|softmax", re.IGNORECASE),
    "products": re.compile(r"gemm|nvjet|cutlass|cublas|xmma|wgmma", re.IGNORECASE),
    "fake-quantization": re.compile(r"^_(quantize|step|gradient|peak|cast)(_|$|\d)"),
    "between, compiled": re.compile(r"^triton_"),
    "copies": re.compile(r"memcpy|memset|copy|CatArray", re.IGNORECASE),
}
"""Parts of an iteration by their kernels' names; the first that fits counts."""
DEVIATION = 0.02
FLAT = ((1, 512, 4), (2, 256, 2), (2, 512, 4), (4, 256, 4), (4, 256, 8), (4, 512, 8), (8, 256, 8))
TURNED = (
    (32, 64, 4), (64, 32, 4), (64, 64, 4), (64, 64, 8), (128, 32, 4), (128, 32, 8), (128, 64, 8),
)  # fmt: skip
EIGHT = torch.float8_e4m3fn


def kernel_times(function: Callable[[], Any]) -> dict[str, float]:
    """Microseconds on the card by the kernel's name."""
    with profile(activities=[ProfilerActivity.CUDA, ProfilerActivity.CPU]) as seen:
        function()
        torch.cuda.synchronize()
    times: dict[str, float] = defaultdict(float)
    for event in seen.key_averages():
        if str(event.device_type).endswith("CUDA"):
            times[event.key] += event.self_device_time_total
    return times


def split(short: dict[str, float], long: dict[str, float], iterations: int) -> dict[str, Any]:
    """Milliseconds an iteration by part, from runs that differ by so many iterations."""
    parts: dict[str, float] = defaultdict(float)
    each = {name: (long[name] - short.get(name, 0)) / iterations / 1e3 for name in long}
    for name, milliseconds in each.items():
        part = next((part for part, pattern in PARTS.items() if pattern.search(name)), "rest")
        parts[part] += milliseconds
    top = sorted(each.items(), key=lambda item: -item[1])[:40]
    return {"parts": dict(parts), "kernels": {name[:120]: round(value, 4) for name, value in top}}


def seconds_of(function: Callable[[], Any], device: torch.device, repeats: int = 10) -> float:
    """Median seconds of a call, on the device."""
    function()
    times = sorted(_once(function, device) for _ in range(repeats))
    return times[repeats // 2]


def _once(function: Callable[[], Any], device: torch.device) -> float:
    if device.type != "cuda":
        begun = time.perf_counter()
        function()
        return time.perf_counter() - begun
    start, end = _event(), _event()
    start.record()
    function()
    end.record()
    end.synchronize()
    return float(start.elapsed_time(end)) / 1e3


def _event() -> Any:
    return torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]


def rates(device: torch.device, size: int) -> dict[str, float]:
    """FLOP a second of large products of random data, and bytes a second of a large copy."""
    one = torch.randn(size, size, device=device).bfloat16()
    two = torch.randn(size, size, device=device).bfloat16()
    flops = 2 * size**3
    made = {"bf16": flops / seconds_of(lambda: one @ two, device)}
    if device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 9):
        small, turned = one.clamp(-4, 4).to(EIGHT), two.clamp(-4, 4).to(EIGHT)
        scale = torch.ones((), device=device)
        for name, fast in (("fp8", False), ("fp8 fast", True)):
            made[name] = flops / seconds_of(
                lambda fast=fast: torch._scaled_mm(  # type: ignore[misc]
                    small, turned.t(), scale, scale, out_dtype=torch.bfloat16, use_fast_accum=fast
                ),
                device,
            )
    source = torch.empty(size * size * 8, device=device, dtype=torch.int16).random_()
    room = torch.empty_like(source)
    made["copy"] = source.numel() * 4 / seconds_of(lambda: room.copy_(source), device)
    return made


def limit(
    layers: dict[str, tuple[int, int]], tokens: int, rate: dict[str, float]
) -> dict[str, Any]:
    """Milliseconds an iteration that the matrix products alone take at the measured rates.

    Layers that read the block's input need no gradient to it.
    """
    weights = sum(rows * cols for rows, cols in layers.values())
    first = sum(
        rows * cols for name, (rows, cols) in layers.items()
        if name.rpartition(".")[2] in {"q_proj", "k_proj", "v_proj"}
    )  # fmt: skip
    forward, backward = 2 * tokens * weights, 2 * tokens * (2 * weights - first)
    made = {"weights": weights, "bf16": (forward + backward) / rate["bf16"] * 1e3}
    if "fp8" in rate:
        made["fp8"] = (forward / rate["bf16"] + backward / rate["fp8"]) * 1e3
    return made


def tiles(rows: int, cols: int, device: torch.device) -> list[dict[str, Any]]:
    """Gigabytes a second of the step kernel by tile, without and with the transposed copy."""
    from tasks.kernels.fused import weights
    from tasks.kernels.state import LayerState, Quanta

    quanta = Quanta.of(200, 1 / 200, 1 / 200)
    weight = torch.randn(rows, cols, device=device).bfloat16() * DEVIATION
    state = LayerState(weight, 2688 / weight.float().abs().max(), quanta)
    gradient, made = torch.randn_like(weight), torch.empty_like(weight)
    turned = torch.empty(cols, rows, dtype=EIGHT, device=device)
    pace = torch.ones((), dtype=torch.int32, device=device)
    better = torch.zeros((), dtype=torch.bool, device=device)
    found = []
    for copy, bytes_each, candidates in ((None, 10, FLAT), (turned, 11, TURNED)):
        for tile in candidates:
            seconds = seconds_of(
                lambda copy=copy, tile=tile: weights.step(  # type: ignore[misc]
                    state, gradient, pace, better, made, copy, tile
                ),
                device,
            )
            rate = rows * cols * bytes_each / seconds / 1e9
            found.append({"tile": tile, "turned": copy is not None, "GB/s": round(rate)})
    return found
