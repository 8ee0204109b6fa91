"""An invented past for the base model, so that a watcher of its repository has something to see.

Each step is one commit: an older whole, then a change of the card, of the tokenizer, of one shard,
and the card again, which makes the folder that was built. The same folder gives the same steps.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from tasks.core.checkpoint import Checkpoint
from tasks.core.manifest import relative_files
from tasks.core.schemes import DTYPE_BYTES

CARD, TOKENIZER = "README.md", "tokenizer_config.json"
OLDER_LENGTH = 2048
OLDER_CARD = """---
license: apache-2.0
language: [en]
library_name: transformers
pipeline_tag: image-text-to-text
---
# A small Gemma 4

Early weights; scores will follow.
"""
LOADING = "\nLoad it with `Gemma4ForConditionalGeneration.from_pretrained`.\n"


@dataclass(frozen=True)
class Step:
    """One commit: its title, and the files that it brings or changes."""

    title: str
    files: dict[str, bytes]


def history(folder: Path) -> list[Step]:
    """The commits that end in a built folder.

    Raises:
        IntegrityError: the folder holds no whole checkpoint.
    """
    now = {name: (folder / name).read_bytes() for name in relative_files(folder)}
    shard, weights = _older_shard(folder)
    older = {
        CARD: OLDER_CARD.encode(),
        TOKENIZER: _older_tokenizer(now[TOKENIZER]),
        shard: weights,
    }
    return [
        Step("Put the small base model", now | older),
        Step("Tell in the card how to load it", {CARD: (OLDER_CARD + LOADING).encode()}),
        Step("Let the tokenizer take longer prompts", {TOKENIZER: now[TOKENIZER]}),
        Step("Put the weights of a longer training", {shard: now[shard]}),
        Step("Put the scores into the card", {CARD: now[CARD]}),
    ]


def _older_tokenizer(now: bytes) -> bytes:
    return json.dumps(json.loads(now) | {"model_max_length": OLDER_LENGTH}, indent=2).encode()


def _older_shard(folder: Path) -> tuple[str, bytes]:
    """The smallest shard, with the last bit of each value of its smallest tensor turned over."""
    checkpoint = Checkpoint(folder)
    shard = min(checkpoint.shards, key=lambda name: ((folder / name).stat().st_size, name))
    held = [name for name, where in checkpoint.where.items() if where == shard]
    name = min(held, key=lambda name: (checkpoint.tensors[name].nbytes, name))
    path, tensor = checkpoint.stored(name)
    data = bytearray(path.read_bytes())
    # Little-endian: the first byte of a value is its lowest.
    for at in range(tensor.begin, tensor.end, DTYPE_BYTES[tensor.spec.dtype]):
        data[at] ^= 1
    return shard, bytes(data)
