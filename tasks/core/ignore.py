"""compressed-tensors' `ignore` list: which modules it names, in every spelling that readers use.

transformers reads a module under the checkpoint's name; vLLM renames modules first, and maps exact
entries along but leaves regexes alone. So a regex must hold for both names. Sources: `match_name`
of compressed-tensors 0.17.0; `Gemma4ForConditionalGeneration.hf_to_vllm_mapper` and
`CompressedTensorsConfig.apply_vllm_mapper` of vLLM 0.32.
"""

import re
from collections.abc import Iterable, Mapping

from tasks.core.schemes import WEIGHT, TensorSpec

REGEX = "re:"
LM_HEAD = "lm_head"
"""Exists as a Linear even where the checkpoint has no tensor for it (tied embeddings)."""
_VLLM_PREFIXES = (
    ("model.language_model.", "language_model.model."),
    ("model.vision_tower.", "vision_tower."),
    ("model.embed_vision.", "embed_vision."),
    ("model.audio_tower.", "audio_tower."),
    ("model.embed_audio.", "embed_audio."),
)
_EMBEDDING = re.compile(r"(^|.*\.)(embed_tokens(_per_layer)?|wte|wpe|\w+_embeddings?)$")


def reader_names(module: str) -> tuple[str, ...]:
    """A module's name in the checkpoint, and the name or names vLLM gives it."""
    if module == LM_HEAD:
        return module, f"language_model.{module}"
    for theirs, vllm in _VLLM_PREFIXES:
        if module.startswith(theirs):
            return module, vllm + module.removeprefix(theirs)
    return (module,)


def ignored(module: str, entries: Iterable[str]) -> bool:
    """Whether the list names the module for every reader."""
    kept = list(entries)
    return module in kept or all(
        any(_matches(name, entry) for entry in kept) for name in reader_names(module)
    )


def ignored_by_some(module: str, entries: Iterable[str]) -> bool:
    """Whether the list names the module for at least one reader."""
    return any(_matches(name, entry) for name in reader_names(module) for entry in entries)


def _matches(name: str, entry: str) -> bool:
    if entry.startswith(REGEX):
        return re.match(entry.removeprefix(REGEX), name) is not None
    return entry == name


def unquantized_linears(tensors: Mapping[str, TensorSpec]) -> list[str]:
    """Modules that a `Linear` target would match although their weight is stored unquantized.

    A matrix named `.weight` belongs to a Linear unless it is an embedding.
    """
    modules = {
        name.removesuffix(WEIGHT)
        for name, spec in tensors.items()
        if name.endswith(WEIGHT) and len(spec.shape) == 2  # noqa: PLR2004 - rows and columns
    }
    return sorted(module for module in modules if not _EMBEDDING.match(module))
