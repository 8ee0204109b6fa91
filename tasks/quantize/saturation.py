"""How many activation values of image tokens a static scale cuts off.

NVFP4 activations have one static scale a layer, 448 * 6 / amax over the calibration set. A value
beyond that amax is cut to it. Image tokens have other activations than text, so a set of text alone
may leave no room for them. For every layer that is quantized this measures, in the base's own
forward pass, the share of values at image tokens that lie beyond

    text_only   the amax over the samples without an image;
    mixed       the amax over all samples but the one that is measured (leave one out, since no
                value lies beyond an amax that was taken over it).
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.nn import Module

from tasks.core.records import Saturation
from tasks.quantize.accounting import Batch
from tasks.quantize.visiting import HELD, Visits, visiting

Reader = Callable[[int, torch.Tensor], None]


def measure(
    model: Any,
    batches: Sequence[Batch],
    modules: Sequence[str],
    blocks: Sequence[str],
    image_token: int,
    device: torch.device,
    visits: Visits = HELD,
) -> Saturation | None:
    """Measure the saturation; None unless the set has both text samples and image samples.

    Args:
        model: the base, on the CPU; it is there again afterwards.
        batches: the calibration set.
        modules: the layers that are quantized.
        blocks: the decoder blocks, which visit the device one by one.
        image_token: id of the token that stands for an image.
        device: where to compute.
        visits: how blocks come to the device.
    """
    seen = torch.cat([(b["input_ids"] == image_token).any(1) for b in batches])
    if not seen.any() or seen.all():
        return None
    with torch.no_grad(), visiting(model, blocks, device, visits):
        amax = _amax(model, batches, modules, device)
        limits = torch.stack([_text_only(amax, seen), _leave_one_out(amax)])
        beyond, values = _beyond(model, batches, modules, limits, image_token, device)
    text_only, mixed = (beyond / values).tolist()
    return Saturation(text_only=text_only, mixed=mixed)


def _text_only(amax: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
    """Amax [modules, samples] over the samples without an image, the same for each sample."""
    return amax[:, ~seen].amax(1, keepdim=True).expand_as(amax)


def _leave_one_out(amax: torch.Tensor) -> torch.Tensor:
    """Amax [modules, samples] over all samples but this one."""
    first, second = amax.topk(2, dim=1).values.T.unsqueeze(2)
    return torch.where(amax == first, second, first)


def _amax(
    model: Any, batches: Sequence[Batch], modules: Sequence[str], device: torch.device
) -> torch.Tensor:
    """The largest magnitude of each layer's input in each sample: float32 [modules, samples]."""
    found: list[torch.Tensor] = []
    for batch in batches:
        part = torch.zeros(len(modules), len(batch["input_ids"]))

        def read(module: int, inputs: torch.Tensor, part: torch.Tensor = part) -> None:
            part[module] = inputs.abs().amax((1, 2)).float().cpu()

        _forward(model, batch, modules, read, device)
        found.append(part)
    return torch.cat(found, 1)


def _beyond(
    model: Any,
    batches: Sequence[Batch],
    modules: Sequence[str],
    limits: torch.Tensor,
    image_token: int,
    device: torch.device,
) -> tuple[torch.Tensor, int]:
    """Values at image tokens beyond each of the limits [2, modules, samples]: int64 [2], of all."""
    beyond, values, start = torch.zeros(2, dtype=torch.int64), 0, 0
    for batch in batches:
        at = batch["input_ids"] == image_token
        here = limits[:, :, start : start + len(at)]
        start += len(at)
        if not at.any():
            continue
        sample = at.nonzero()[:, 0]

        def read(
            module: int,
            inputs: torch.Tensor,
            at: torch.Tensor = at,
            here: torch.Tensor = here[:, :, sample],
        ) -> None:
            nonlocal values
            chosen = inputs[at.to(device)].abs().float()
            values += chosen.numel()
            limit = here[:, module].to(device)
            beyond.add_((chosen > limit.unsqueeze(2)).sum((1, 2)).cpu())

        _forward(model, batch, modules, read, device)
    return beyond, values


def _forward(
    model: Any, batch: Batch, modules: Sequence[str], read: Reader, device: torch.device
) -> None:
    """Run the base without its head; `read` gets the input [samples, tokens, width] of a layer."""

    def hook(number: int) -> Callable[[Module, tuple[torch.Tensor, ...]], None]:
        return lambda _module, inputs: read(number, inputs[0])

    hooks = [
        model.get_submodule(name).register_forward_pre_hook(hook(number))
        for number, name in enumerate(modules)
    ]
    try:
        placed = {name: value.to(device) for name, value in batch.items()}
        model.base_model(**placed, use_cache=False)
    finally:
        for each in hooks:
            each.remove()
