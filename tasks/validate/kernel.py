"""Which kernel multiplied in NVFP4, and what that says about the numbers it gave."""

import re
from typing import Literal, get_args

from tasks.core.gate_records import Check

Numerics = Literal["W4A4 native", "W4A4 emulated", "W4A16"]
CHOSEN = re.compile(r"Using (\w+) for NVFP4 GEMM")
WEIGHT_ONLY = ("Marlin", "Humming", "W4A16")
EMULATION = "Emulation"


def find_kernel(log: str) -> str:
    """Name of the kernel, as vLLM logs its choice; empty where it logged none."""
    return ", ".join(sorted(set(CHOSEN.findall(log))))


def numerics(kernel: str) -> Numerics:
    """What a kernel computes.

    `W4A4 native` multiplies FP4 by FP4; `W4A4 emulated` rounds weights and activations to NVFP4
    and multiplies in BF16; `W4A16` leaves activations in BF16. Names are those of vLLM 0.32
    (`vllm/model_executor/kernels/linear/nvfp4`).
    """
    if any(mark in kernel for mark in WEIGHT_ONLY):
        return "W4A16"
    return "W4A4 emulated" if EMULATION in kernel else "W4A4 native"


def check_kernel(kernel: str) -> Check:
    """Whether an NVFP4 kernel ran at all: without one the quantized layers were not served."""
    return Check(
        name="kernel",
        passed=bool(kernel),
        seen=f"{kernel} ({numerics(kernel)})" if kernel else "no NVFP4 kernel in vLLM's log",
        required=f"one that computes {' or '.join(get_args(Numerics))}",
    )
