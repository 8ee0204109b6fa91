"""Bytes that a rank sends while it tunes: as we count them, and as the card's links do."""

from typing import Any

import torch

from tasks.kernels.fused.replay import WARM_UPS
from tasks.quantize.fused.ranks import Ranks

KIBIBYTE = 1024
ALL_LINKS = 0xFFFFFFFF


class Sent:
    """Counts from here on.

    Args:
        device: of this rank.
        ranks: tune together; None counts nothing.
    """

    def __init__(self, device: torch.device, ranks: Ranks | None) -> None:
        self._device, self._ranks = device, ranks
        self._summed = ranks.summed if ranks else 0
        self._wire = _wire(device) if ranks else None

    def since(self) -> dict[str, Any]:
        """`summed`: bytes of tensors summed in one iteration; `wire`: bytes the links have sent.

        A recorded iteration is counted once, when it is recorded, after the warm-ups.
        """
        if self._ranks is None:
            return {}
        calls = WARM_UPS + 1 if self._device.type == "cuda" else None
        summed = self._ranks.summed - self._summed
        made: dict[str, Any] = {"summed": summed / calls if calls else None}
        wire = _wire(self._device)
        if wire is not None and self._wire is not None:
            made["wire"] = wire - self._wire
        return made


def _wire(device: torch.device) -> int | None:
    """Bytes of data that the card's NVLinks have sent; None where nobody tells."""
    if device.type != "cuda":
        return None
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByIndex(device.index or 0)
        field = (pynvml.NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_TX, ALL_LINKS)
        (value,) = pynvml.nvmlDeviceGetFieldValues(handle, [field])
    except pynvml.NVMLError:
        return None
    return None if value.nvmlReturn else int(value.value.ullVal) * KIBIBYTE
