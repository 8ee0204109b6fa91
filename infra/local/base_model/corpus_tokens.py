"""Tokenize the corpus: ``python -m infra.local.base_model.corpus_tokens CORPUS FILE``."""

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import AutoTokenizer

from infra.local.base_model import corpus, layout
from infra.local.base_model.config import BOS, EOS

_BATCH = 512


def main() -> None:
    """Write the training split as one stream (int16), every document from <bos> to <eos>."""
    tokenizer = AutoTokenizer.from_pretrained(layout.TOKENIZER)
    texts = [each.text for each in corpus.read(Path(sys.argv[1])) if each.split == "train"]
    stream: list[int] = []
    for at in range(0, len(texts), _BATCH):
        batch = tokenizer(texts[at : at + _BATCH], add_special_tokens=False)["input_ids"]
        for ids in batch:
            stream += [BOS, *ids, EOS]
    save_file({"train": torch.tensor(stream, dtype=torch.int16)}, sys.argv[2])


if __name__ == "__main__":
    main()
