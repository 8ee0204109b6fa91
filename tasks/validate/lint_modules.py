"""Which layers are quantized: those that should be, whole fused groups, and as config.json says."""

import re

from tasks.core.checkpoint import Checkpoint
from tasks.core.gate_records import Check
from tasks.core.ignore import LM_HEAD, REGEX, ignored, ignored_by_some, unquantized_linears
from tasks.core.recipe import Recipe
from tasks.core.schemes import FUSED, WEIGHT, quantized_modules
from tasks.validate.lint_config import quantization_settings
from tasks.validate.lint_findings import verdict
from tasks.validate.packed import packed_modules

KEPT = re.compile(r".*(vision_tower|embed_vision|audio_tower|embed_audio|embed_tokens|lm_head)")
"""What no release of ours quantizes, where there is no recipe to say it."""


def check(candidate: Checkpoint, base: Checkpoint | None, recipe: Recipe | None) -> list[Check]:
    """The checks `modules.chosen`, `modules.fused` and `modules.ignore`."""
    modules = packed_modules(candidate.tensors)
    settings = quantization_settings(candidate.folder)
    entries = [entry for entry in settings.get("ignore") or [] if isinstance(entry, str)]
    return [_chosen(modules, base, recipe), _fused(modules, candidate), _ignore(candidate, entries)]


def _chosen(modules: list[str], base: Checkpoint | None, recipe: Recipe | None) -> Check:
    if base is not None and recipe is not None:
        wanted = set(quantized_modules(base.tensors, recipe))
        complaints = [f"{module} is not quantized" for module in sorted(wanted - set(modules))]
        complaints += [f"{module} is quantized" for module in modules if module not in wanted]
        required = f"the {len(wanted)} layers of the recipe"
    else:
        kept = recipe.keeps if recipe is not None else KEPT.match
        complaints = [f"{module} is quantized" for module in modules if kept(module)]
        required = "layers of decoder blocks alone"
    if not modules:
        complaints.append("no layer is quantized")
    return verdict(
        "modules.chosen", complaints, required=required, seen=f"{len(modules)} layers quantized"
    )


def _fused(modules: list[str], candidate: Checkpoint) -> Check:
    """Layers that vLLM fuses are quantized together or not at all."""
    complaints = []
    for module in modules:
        parent, _, leaf = module.rpartition(".")
        mates = {mate for leaves in FUSED if leaf in leaves for mate in leaves}
        complaints += [
            f"{module} is quantized, {parent}.{mate} is not"
            for mate in sorted(mates)
            if f"{parent}.{mate}{WEIGHT}" in candidate
        ]
    return verdict(
        "modules.fused", complaints, required="one scheme for layers that vLLM fuses", seen="whole"
    )


def _ignore(candidate: Checkpoint, entries: list[str]) -> Check:
    """Every unquantized Linear is ignored by every reader, and no quantized one by any."""
    modules = packed_modules(candidate.tensors)
    bare = set(unquantized_linears(candidate.tensors)) | {LM_HEAD}
    complaints = []
    for entry in entries:
        try:
            re.compile(entry.removeprefix(REGEX) if entry.startswith(REGEX) else "")
        except re.error as error:
            complaints.append(f"{entry!r} is no regular expression: {error}")
    if not complaints:
        complaints += [
            f"{module} is unquantized but not ignored"
            for module in sorted(bare - set(modules))
            if not ignored(module, entries)
        ]
        complaints += [
            f"{module} is quantized but ignored"
            for module in modules
            if ignored_by_some(module, entries)
        ]
    return verdict(
        "modules.ignore",
        complaints,
        required="ignore names every unquantized Linear and no quantized one, for vLLM's names too",
        seen=f"{len(entries)} entries",
    )
