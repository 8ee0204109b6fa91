"""The files beside the weights that a release takes from its base, byte for byte.

Tokenizer, chat template, generation and processor settings, and the licence: quantization changes
none of them, and a library that saves them again may.
"""

from fnmatch import fnmatch
from pathlib import Path

from tasks.core.manifest import relative_files

COMPANIONS = (
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "chat_template.*",
    "additional_chat_templates/*.jinja",
    "generation_config.json",
    "processor_config.json",
    "*preprocessor_config.json",
    "LICENSE*",
    "LICENCE*",
    "NOTICE*",
    "USE_POLICY*",
)


def companion_files(folder: Path) -> list[str]:
    """Posix paths of a model folder's companion files, sorted."""
    return [path for path in relative_files(folder) if any(fnmatch(path, p) for p in COMPANIONS)]
