"""The Triton kernels: on a card where there is one, else in Triton's interpreter on the CPU.

Triton decides at a program's definition, so the variable is set while our programs are imported,
and not while Triton imports its own.
"""

import importlib
import os

import torch

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
_INTERPRET = "TRITON_INTERPRET"

importlib.import_module("triton.experimental.gluon")
if DEVICE.type == "cpu":
    os.environ[_INTERPRET] = "1"
try:
    from tasks.kernels.fused import casts, inputs, warm, weights
    from tasks.kernels.fused.kernels import Fused
    from tasks.kernels.fused.pace import FusedPace
finally:
    os.environ.pop(_INTERPRET, None)

__all__ = ["DEVICE", "Fused", "FusedPace", "casts", "inputs", "warm", "weights"]
