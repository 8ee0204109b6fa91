"""A checkpoint in plain transformers; for child processes, as it loads torch."""

from pathlib import Path
from typing import Any

import torch
import transformers


def load(model: Path, **options: Any) -> Any:
    """A checkpoint's model in BF16, on the first accelerator if there is one.

    Args:
        model: folder of the checkpoint; compressed-tensors' ones compute in 4 bits.
        options: of `from_pretrained`.
    """
    config = transformers.AutoConfig.from_pretrained(model)
    conditional = config.architectures[0].endswith("ForConditionalGeneration")
    kind: Any = (
        transformers.AutoModelForImageTextToText
        if conditional
        else transformers.AutoModelForCausalLM
    )
    loaded = kind.from_pretrained(model, dtype=torch.bfloat16, **options)
    return loaded.eval().to("cuda" if torch.cuda.is_available() else "cpu")
