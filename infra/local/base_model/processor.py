"""Make the processor: tokenizer, chat template, and pictures of at most 70 soft tokens."""

from typing import Any

from transformers import AutoTokenizer
from transformers.models.gemma4 import (
    Gemma4AudioFeatureExtractor,
    Gemma4ImageProcessor,
    Gemma4Processor,
    Gemma4VideoProcessor,
)

from infra.local.base_model import layout
from infra.local.base_model.config import PATCH, POOL, SOFT_TOKENS


def processor() -> Gemma4Processor:
    """Make the processor from the committed tokenizer and chat template."""
    sizes: dict[str, Any] = {
        "max_soft_tokens": SOFT_TOKENS,
        "patch_size": PATCH,
        "pooling_kernel_size": POOL,
    }
    return Gemma4Processor(
        feature_extractor=Gemma4AudioFeatureExtractor(),
        image_processor=Gemma4ImageProcessor(**sizes),
        video_processor=Gemma4VideoProcessor(**sizes),
        tokenizer=AutoTokenizer.from_pretrained(layout.TOKENIZER),
        image_seq_length=SOFT_TOKENS,
        chat_template=layout.CHAT_TEMPLATE.read_text(encoding="utf-8"),
    )
