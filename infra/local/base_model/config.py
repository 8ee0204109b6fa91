"""The architecture in figures: the released Gemma 4 31B's structure in small."""

from typing import Any

from transformers import Gemma4Config

VOCABULARY = 4096
PATCH, POOL, SOFT_TOKENS = 16, 3, 70
EVERY = 4  # one layer in so many attends to everything
MAX_PATCHES = SOFT_TOKENS * POOL**2
IMAGE, IMAGE_BEGIN, IMAGE_END = VOCABULARY - 5, VOCABULARY - 7, VOCABULARY - 3
PAD, EOS, BOS, TOOL_RESPONSE, TURN_END = 0, 1, 2, 50, 106
STOP = [EOS, TURN_END, TOOL_RESPONSE]


def gemma4_config(layers: int = 8) -> Gemma4Config:
    """Configure a text and vision Gemma 4 of ``layers`` decoder layers.

    Every fourth layer and the last attend to everything, with wider heads and one key head that
    is also the value; the others slide. About 10.5 million parameters at eight layers.

    Raises:
        ValueError: ``layers`` is less than one.
    """
    if layers < 1:
        raise ValueError(f"a model has at least one layer, not {layers}")
    settings: dict[str, Any] = {
        "text_config": _text(layers),
        "vision_config": _vision(),
        "audio_config": None,
        "boi_token_id": IMAGE_BEGIN,
        "boa_token_id": VOCABULARY - 6,
        "image_token_id": IMAGE,
        "audio_token_id": VOCABULARY - 4,
        "eoi_token_id": IMAGE_END,
        "eoa_token_index": VOCABULARY - 2,
        "video_token_id": VOCABULARY - 1,
        "vision_soft_tokens_per_image": SOFT_TOKENS,
        "tie_word_embeddings": True,
        "dtype": "bfloat16",
        "pad_token_id": PAD,
        "bos_token_id": BOS,
        "eos_token_id": STOP,
    }
    return Gemma4Config(**settings)


def _text(layers: int) -> dict[str, object]:
    full = [(index + 1) % EVERY == 0 or index == layers - 1 for index in range(layers)]
    return {
        "vocab_size": VOCABULARY,
        "hidden_size": 256,
        "intermediate_size": 1024,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 64,
        "global_head_dim": 128,
        "num_global_key_value_heads": 1,
        "attention_k_eq_v": True,
        "hidden_size_per_layer_input": 0,
        "vocab_size_per_layer_input": VOCABULARY,
        "num_kv_shared_layers": 0,
        "layer_types": ["full_attention" if wide else "sliding_attention" for wide in full],
        "sliding_window": 256,
        "max_position_embeddings": 4096,
        "final_logit_softcapping": 30.0,
        # The release says "vision"; vLLM's CPU attention has no bidirectional image spans.
        "use_bidirectional_attention": None,
        "tie_word_embeddings": True,
        "pad_token_id": PAD,
        "eos_token_id": EOS,
        "bos_token_id": BOS,
        "dtype": "bfloat16",
    }


def _vision() -> dict[str, object]:
    return {
        "hidden_size": 192,
        "intermediate_size": 400,
        "num_hidden_layers": 3,
        "num_attention_heads": 3,
        "num_key_value_heads": 3,
        "head_dim": 64,
        "patch_size": PATCH,
        "pooling_kernel_size": POOL,
        "position_embedding_size": 256,
        "max_position_embeddings": 4096,
        # vLLM reads it, and transformers keeps it as an extra.
        "default_output_length": SOFT_TOKENS,
        "standardize": True,
        "dtype": "bfloat16",
    }
