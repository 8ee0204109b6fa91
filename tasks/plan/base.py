"""The base as the Hub describes it: config.json and the shards' headers, no weights."""

import json
from dataclasses import dataclass
from typing import Any

from tasks.clients.hub import Hub
from tasks.clients.hub_headers import RemoteCheckpoint
from tasks.core.errors import BaseModelError, PermanentError, RecipeError
from tasks.core.recipe import Recipe
from tasks.core.schemes import WEIGHT, quantized_modules
from tasks.plan.estimate import text_config
from tasks.plan.problems import Problems

SUPPORTED = ("Gemma4ForConditionalGeneration",)
FLOATING = {"BF16", "F16", "F32"}
CONFIG = "config.json"
CODE_KEY = "auto_map"


@dataclass(frozen=True)
class Base:
    """A base that was looked at.

    Attributes:
        repo: its repository.
        commit: the commit that the revision named.
        config: its config.json.
        license: as its card names it.
        checkpoint: its tensors.
    """

    repo: str
    commit: str
    config: dict[str, Any]
    license: str
    checkpoint: RemoteCheckpoint

    @property
    def architecture(self) -> str:
        """The class that config.json names."""
        return architecture(self.config)


def look_at(repo: str, revision: str, hub: Hub, problems: Problems) -> Base | None:
    """Read what the Hub says of a base; None, with the problem noted, where it cannot be read."""
    with problems:
        commit = hub.resolve(repo, revision)
        config = _config(repo, commit, hub)
        checkpoint = hub.safetensors_tensors(repo, commit)
        return Base(repo, commit, config, hub.license(repo, commit), checkpoint)
    return None


def _config(repo: str, commit: str, hub: Hub) -> dict[str, Any]:
    try:
        config = json.loads(hub.read_small(repo, commit, CONFIG))
    except (ValueError, RecursionError) as error:
        raise BaseModelError(f"{CONFIG} of {repo} is not JSON", found=str(error)) from None
    if not isinstance(config, dict):
        raise BaseModelError(f"{CONFIG} of {repo} is no mapping")
    text = config.get("text_config", {})
    length = text.get("max_position_embeddings") if isinstance(text, dict) else "no mapping"
    if not (length is None or type(length) is int):
        raise BaseModelError(
            f"{CONFIG} of {repo} describes no text model",
            expected="text_config as a mapping, with max_position_embeddings as a number",
            found=f"{text!r:.120}",
        )
    return config


def architecture(config: dict[str, Any]) -> str:
    """The first class that a config.json names; empty where it names none."""
    named = config.get("architectures")
    return str(named[0]) if isinstance(named, list) and named else ""


def refusals(base: Base, recipe: Recipe) -> list[PermanentError]:
    """Why this base cannot be quantized with this recipe; empty where it can."""
    checks = (_code(base), _quantized(base), _architecture(base), _experts(base))
    found = [problem for problem in checks if problem]
    return found or [
        problem for problem in (_modules(base, recipe), _lengths(base, recipe)) if problem
    ]


def _code(base: Base) -> PermanentError | None:
    if CODE_KEY not in base.config:
        return None
    return BaseModelError(
        f"{base.repo} brings its own code, which is never run",
        expected="a model whose class is in transformers",
        found=f"{CODE_KEY} in {CONFIG}: {base.config[CODE_KEY]!r:.120}",
        remedy="choose a base that needs no trust_remote_code",
    )


def _quantized(base: Base) -> PermanentError | None:
    settings = base.config.get("quantization_config")
    if settings is None:
        return None
    method = settings.get("quant_method") if isinstance(settings, dict) else settings
    return BaseModelError(
        f"{base.repo} is quantized already",
        expected="a base in BF16, FP16 or FP32",
        found=f"quantization_config in {CONFIG} ({method})",
        remedy="name the model it was made from",
    )


def _architecture(base: Base) -> PermanentError | None:
    if base.architecture in SUPPORTED:
        return None
    return BaseModelError(
        f"the architecture of {base.repo} is not covered",
        expected=" or ".join(SUPPORTED),
        found=base.architecture or f"no architectures in {CONFIG}",
        remedy="choose a base of a covered architecture",
    )


def _experts(base: Base) -> PermanentError | None:
    if not text_config(base.config).get("enable_moe_block"):
        return None
    return BaseModelError(
        f"{base.repo} is a mixture of experts, which is not covered",
        expected="a dense model",
        found=f"enable_moe_block in {CONFIG}",
        remedy="choose a dense base of the same family",
    )


def _modules(base: Base, recipe: Recipe) -> PermanentError | None:
    tensors = base.checkpoint.tensors
    modules = quantized_modules(tensors, recipe)
    if not modules:
        return RecipeError(
            f"the recipe {recipe.name} quantizes nothing of {base.repo}",
            expected="Linears of decoder blocks that keep: does not match",
            found=f"keep: {', '.join(recipe.keep)}",
            remedy="mend keep: in the recipe",
        )
    dtypes = {tensors[module + WEIGHT].dtype for module in modules} - FLOATING
    if dtypes:
        return BaseModelError(
            f"{base.repo} stores weights that are quantized already",
            expected=f"weights in {', '.join(sorted(FLOATING))}",
            found=", ".join(sorted(dtypes)),
            remedy="name the model it was made from",
        )
    return None


def _lengths(base: Base, recipe: Recipe) -> PermanentError | None:
    longest = text_config(base.config).get("max_position_embeddings")
    asked = {
        "calibration.seqlen": recipe.calibration.seqlen,
        "validation.serving.max_model_len": recipe.validation.serving.max_model_len,
    }
    beyond = [f"{key} {length}" for key, length in asked.items() if length > (longest or length)]
    if not beyond:
        return None
    return RecipeError(
        f"the recipe {recipe.name} asks for more tokens than {base.repo} takes",
        expected=f"at most {longest} (max_position_embeddings)",
        found=", ".join(beyond),
        remedy="lower these values",
    )
