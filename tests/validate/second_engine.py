"""Another engine for the same checkpoint: plain transformers with compressed-tensors."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForImageTextToText

from tasks.validate.logprobs import TextLogprobs
from tasks.validate.tokens import HeldoutText


def expected_logprobs(
    model: Path, texts: Sequence[HeldoutText], k: int, **options: Any
) -> list[TextLogprobs]:
    """What the checkpoint expects, weights and activations in NVFP4, all else in BF16.

    Args:
        model: folder of the checkpoint.
        texts: held-out texts.
        k: how many of the likeliest ids a position.
        options: of `from_pretrained`.
    """
    loaded = AutoModelForImageTextToText.from_pretrained(model, dtype=torch.bfloat16, **options)
    return [_expected(loaded, torch.tensor(text.ids), k).scored(text.start) for text in texts]


@torch.no_grad()
def _expected(model: torch.nn.Module, text: torch.Tensor, k: int) -> TextLogprobs:
    logprobs = model(input_ids=text[None]).logits[0, :-1].float().log_softmax(-1)
    top = logprobs.topk(k)
    return TextLogprobs(
        tokens=text[1:].int().numpy(),
        actual=logprobs.gather(1, text[1:, None])[:, 0].numpy(),
        ids=top.indices.int().numpy(),
        logprobs=top.values.numpy(),
    )
