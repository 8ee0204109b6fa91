"""Plain transformers in float32 that wears a checkpoint's layers, as the gate's child process does.

Weights are decoded and activations rounded by `tasks.kernels`.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForImageTextToText

from tasks.kernels.nvfp4 import Packed, decode
from tasks.kernels.reference import quantize_input
from tasks.validate.logprobs import TextLogprobs
from tasks.validate.packed import packed_modules
from tasks.validate.tokens import HeldoutText
from tests.bench.sabotage.kinds import read

K, BATCH = 20, 20


class Engine:
    """The base in plain transformers; `measure` runs it with the layers it wears.

    Args:
        base: folder of the base.
    """

    def __init__(self, base: Path) -> None:
        loaded: Any = AutoModelForImageTextToText.from_pretrained(base, dtype=torch.bfloat16)
        self.model: Any = loaded.float().eval()
        self.layers = dict(self.model.named_modules())

    @torch.no_grad()
    def measure(self, texts: Sequence[HeldoutText]) -> list[TextLogprobs]:
        """Log-probabilities of what is scored; what is padded comes after it, so it is not seen."""
        found = []
        for first in range(0, len(texts), BATCH):
            batch = texts[first : first + BATCH]
            longest = max(len(text.ids) for text in batch)
            ids = torch.tensor([[*text.ids, *[0] * (longest - len(text.ids))] for text in batch])
            for logits, text in zip(self.model(input_ids=ids).logits, batch, strict=True):
                logprobs = logits[: len(text.ids) - 1].log_softmax(-1)
                found.append(_cut(logprobs, torch.tensor(text.ids[1:])).scored(text.start))
        return found

    @contextmanager
    def wearing(self, checkpoint: Path) -> Iterator[None]:
        """The model with a checkpoint's packed layers, activations rounded before each."""
        tensors = read(checkpoint)
        kept, handles = {}, []
        for module in packed_modules(tensors):
            layer = self.layers[module]
            kept[module] = layer.weight.data
            parts = [tensors[f"{module}.weight_{p}"] for p in ("packed", "scale", "global_scale")]
            layer.weight.data = decode(Packed(*parts)).float()
            divisor = tensors[f"{module}.input_global_scale"][0]
            handles.append(layer.register_forward_pre_hook(partial(_rounded, divisor=divisor)))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()
            for module, weight in kept.items():
                self.layers[module].weight.data = weight

    @torch.no_grad()
    def peaks(self, modules: Sequence[str], texts: Sequence[Sequence[int]]) -> dict[str, float]:
        """Largest input of each layer, by its name, over texts of one length."""
        found = dict.fromkeys(modules, 0.0)

        def see(_layer: object, inputs: tuple[torch.Tensor], *, module: str) -> None:
            found[module] = max(found[module], float(inputs[0].abs().max()))

        handles = [
            self.layers[m].register_forward_pre_hook(partial(see, module=m)) for m in modules
        ]
        self.model(input_ids=torch.tensor(texts))
        for handle in handles:
            handle.remove()
        return found


def _cut(logprobs: torch.Tensor, tokens: torch.Tensor) -> TextLogprobs:
    top = logprobs.topk(K)
    return TextLogprobs(
        tokens=tokens.int().numpy(),
        actual=logprobs.gather(1, tokens[:, None])[:, 0].numpy(),
        ids=top.indices.int().numpy(),
        logprobs=top.values.numpy(),
    )


def _rounded(
    _layer: object, inputs: tuple[torch.Tensor], *, divisor: torch.Tensor
) -> tuple[torch.Tensor]:
    shape = inputs[0].shape
    return (quantize_input(inputs[0].reshape(-1, shape[-1]), divisor).reshape(shape),)
