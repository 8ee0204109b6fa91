"""Train the committed tokenizer: 4,096 pieces of BPE, Gemma 4's special tokens at their real ids.

``python -m infra.local.base_model.tokenizer CORPUS`` rewrites ``assets/tokenizer``. The low ids
are the released vocabulary's (turns 105 and 106, channels 100 and 101, tools 46 to 52, newline
107); media tokens, which lie near 256,000 there, end this vocabulary.

Equally frequent pairs are merged in an order the library leaves to chance, so another run moves
some dozens of ids: the weights belong to the tokenizer committed with them, and a new one means
training anew.
"""

import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import GemmaTokenizer

from infra.local.base_model import corpus, layout
from infra.local.base_model.config import VOCABULARY
from infra.local.base_model.skills import KINDS, sample

SPECIAL = {
    0: "<pad>",
    1: "<eos>",
    2: "<bos>",
    3: "<unk>",
    4: "<mask>",
    46: "<|tool>",
    47: "<tool|>",
    48: "<|tool_call>",
    49: "<tool_call|>",
    50: "<|tool_response>",
    51: "<tool_response|>",
    52: '<|"|>',
    98: "<|think|>",
    100: "<|channel>",
    101: "<channel|>",
    105: "<|turn>",
    106: "<turn|>",
    107: "\n",
}
MEDIA = ("<|image>", "<|audio>", "<|image|>", "<|audio|>", "<image|>", "<audio|>", "<|video|>")
_NAMED = {
    "image_token": "<|image|>",
    "boi_token": "<|image>",
    "eoi_token": "<image|>",
    "audio_token": "<|audio|>",
    "boa_token": "<|audio>",
    "eoa_token": "<audio|>",
    "sot_token": "<|turn>",
    "eot_token": "<turn|>",
    "soc_token": "<|channel>",
    "eoc_token": "<channel|>",
    "think_token": "<|think|>",
    "escape_token": '<|"|>',
    "std_token": "<|tool>",
    "etd_token": "<tool|>",
    "stc_token": "<|tool_call>",
    "etc_token": "<tool_call|>",
    "str_token": "<|tool_response>",
    "etr_token": "<tool_response|>",
}
_TEXTS, _EXERCISES = 14_000, 300


def train(texts: Iterator[str]) -> GemmaTokenizer:
    """Learn the merges from ``texts`` and assemble the vocabulary around the special tokens."""
    low = [SPECIAL.get(index, f"<unused{index}>") for index in range(max(SPECIAL) + 1)]
    octets = [f"<0x{value:02X}>" for value in range(256)]
    room = VOCABULARY - len(low) - len(octets) - len(MEDIA)
    merges: Any
    pieces, merges = _learn(texts, room)
    vocabulary = [*low, *octets, *pieces]
    vocabulary += [f"<unused{i}>" for i in range(len(vocabulary), VOCABULARY - len(MEDIA))]
    vocabulary += MEDIA
    return GemmaTokenizer(
        vocab={piece: index for index, piece in enumerate(vocabulary)},
        merges=merges,
        padding_side="left",
        model_max_length=4096,
        add_bos_token=True,
        extra_special_tokens=["<|video|>"],
        **_NAMED,
    )


def _learn(texts: Iterator[str], room: int) -> tuple[list[str], list[tuple[str, str]]]:
    learner = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))  # noqa: S106
    learner.normalizer = normalizers.Replace(" ", "▁")
    # Gemma splits nothing later, so what must not merge (words, digits, marks) is kept apart here.
    learner.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split("▁", "merged_with_next"),
            pre_tokenizers.Punctuation("isolated"),
            pre_tokenizers.Digits(individual_digits=True),
        ]
    )
    settings = trainers.BpeTrainer(
        vocab_size=room, limit_alphabet=160, special_tokens=[], show_progress=False
    )
    learner.train_from_iterator((text.replace("\n", " ") for text in texts), settings)
    model = json.loads(learner.to_str())["model"]
    pieces = sorted(model["vocab"], key=model["vocab"].__getitem__)
    return pieces, [(left, right) for left, right in model["merges"]]


def material(folder: Path) -> Iterator[str]:
    """Give the training split's first passages, then exercises of every kind."""
    passages = [found.text for found in corpus.read(folder) if found.split == "train"]
    yield from passages[:_TEXTS]
    rng = random.Random(1)  # noqa: S311 - examples, not secrets
    for kind in KINDS:
        for _ in range(_EXERCISES):
            made = sample(kind, rng, "train")
            yield json.dumps(made.messages, ensure_ascii=False) + " " + made.answer.text()


def main() -> None:
    """Train from the corpus named on the command line and save beside the assets."""
    trained = train(material(Path(sys.argv[1])))
    trained.save_pretrained(layout.TOKENIZER)


if __name__ == "__main__":
    main()
