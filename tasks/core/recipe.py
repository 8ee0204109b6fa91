"""A recipe: every choice that makes one kind of release, from calibration to the gate's limits.

Recipes are YAML files; the shipped ones lie in `tasks/core/recipes`. A recipe has a digest, and
with the base's commit, the data and the versions of the tools it makes the release id: equal id,
equal release.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from tasks.core.digest import sha256_json
from tasks.core.errors import RecipeError
from tasks.core.manifest import Frozen
from tasks.core.plain_yaml import load_plain, mistakes
from tasks.core.recipe_source import Count, Positive, Source, unnamed_at
from tasks.core.recipe_validation import Validation

SHIPPED = Path(__file__).parent / "recipes"


class Calibration(Frozen):
    """The calibration set: what the quantizer looks at.

    Attributes:
        source: rows of text and chats.
        nsamples: samples in all, each of exactly `seqlen` tokens.
        seqlen: tokens of a sample.
        image_samples: how many of the samples carry an image; 0 is text only.
        images: rows with an image; needed when `image_samples` is not 0.
        seed: of the shuffle.
    """

    source: Source
    nsamples: Count
    seqlen: Annotated[int, Field(ge=16)]
    image_samples: Annotated[int, Field(ge=0)] = 0
    images: Source | None = None
    seed: int = 42

    @model_validator(mode="after")
    def _images_have_a_source(self) -> Self:
        if self.image_samples > self.nsamples:
            msg = f"image_samples {self.image_samples} is more than nsamples {self.nsamples}"
            raise ValueError(msg)
        if self.image_samples and self.images is None:
            msg = "image_samples needs images: the source of rows with an image"
            raise ValueError(msg)
        return self


class Tuning(Frozen):
    """How AutoRound tunes the rounding.

    Attributes:
        tuner: `autoround` is AutoRound's own SignRound, tensor for tensor; `fused` is the same
            algorithm with kernels of our own, several times as fast; `rtn` is AutoRound's plain
            rounding to nearest.
        iters: sign-gradient steps a block; 0 rounds to nearest, which `autoround` and `fused` do
            with scales that AutoRound searches for, and `rtn` with those of the largest weights.
        batch_size: calibration samples a step.
        seed: of the sampler.
        learning_rate: step of the rounding offsets; null is 1 / iters, as AutoRound has it.
        gradient_precision: of the fused tuner's gradient products; `fp8` is faster on cards that
            have it, `bf16` is what others do all the same.
    """

    tuner: Literal["autoround", "fused", "rtn"] = "autoround"
    iters: Annotated[int, Field(ge=0, le=10_000)] = 200
    batch_size: Count = 8
    seed: int = 42
    learning_rate: Positive | None = None
    gradient_precision: Annotated[Literal["bf16", "fp8"], unnamed_at("bf16")] = "bf16"

    @model_validator(mode="after")
    def _rounding_takes_no_steps(self) -> Self:
        if self.tuner == "rtn" and self.iters:
            msg = f"tuner rtn takes no steps: set iters to 0, not {self.iters}"
            raise ValueError(msg)
        return self


class Recipe(Frozen):
    """Every choice that makes one kind of release.

    Attributes:
        name: short name, as in a file name.
        description: one line for people; not part of the digest.
        scheme: quantization scheme.
        group_size: weights that share one scale; NVFP4 knows 16 alone.
        keep: regexes (matched from the start of a module's name) of modules that stay as they are.
        calibration: the calibration set.
        tuning: how the rounding is tuned.
        validation: what is compared, and the limits.
        max_shard_bytes: most bytes of one safetensors file.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{0,62}$")]
    description: str = ""
    scheme: Literal["NVFP4"] = "NVFP4"
    group_size: Literal[16] = 16
    keep: tuple[str, ...]
    calibration: Calibration
    tuning: Tuning = Tuning()
    validation: Validation
    max_shard_bytes: Annotated[int, Field(ge=1 << 20, le=5_000_000_000)] = 4_800_000_000

    @field_validator("keep")
    @classmethod
    def _compiles(cls, keep: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in keep:
            try:
                re.compile(pattern)
            except re.error as error:
                msg = f"keep: {pattern!r} is no regular expression: {error}"
                raise ValueError(msg) from error
        return keep

    @property
    def digest(self) -> str:
        """Digest of everything that shapes the release; the description does not."""
        return sha256_json(self.model_dump(mode="json", exclude={"description"}))

    @property
    def shaping(self) -> str:
        """Digest of what shapes the weights; keys at their defaults do not count.

        So a key that a later version adds changes no recipe's digest.
        """
        judging = {"name", "description", "validation"}
        return sha256_json(self.model_dump(mode="json", exclude=judging, exclude_defaults=True))

    def keeping(self, modules: Iterable[str]) -> Self:
        """The recipe with some more layers kept, by full name."""
        exactly = tuple(f"{re.escape(module)}$" for module in modules)
        return self.model_copy(update={"keep": (*self.keep, *exactly)})

    def keeps(self, module: str) -> bool:
        """Whether a module stays unquantized."""
        return any(re.match(pattern, module) for pattern in self.keep)


def shipped_recipes() -> list[str]:
    """Names of the recipes that come with Roundhouse."""
    return sorted(path.stem for path in SHIPPED.glob("*.yaml"))


def load_recipe(name: str, overrides: dict[str, Any] | None = None) -> Recipe:
    """Read a recipe by its shipped name or from a YAML file.

    Args:
        name: a shipped recipe's name, or the path of a YAML file.
        overrides: values by dotted key, such as `{"tuning.iters": 50}`.

    Raises:
        RecipeError: no such recipe, not YAML, an unknown key or an impossible value.
    """
    path = SHIPPED / f"{name}.yaml" if name in shipped_recipes() else Path(name)
    values = _read_yaml(path)
    for dotted, value in (overrides or {}).items():
        _override(values, dotted, value)
    return parse_recipe(values, source=str(name))


def parse_recipe(values: Any, source: str) -> Recipe:
    """Validate a recipe's values; an error names key, value and what is allowed.

    Raises:
        RecipeError: an unknown key or an impossible value.
    """
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        raise RecipeError(
            f"recipe {source} is not valid",
            expected="the keys and values of docs/reference/recipes.md",
            found=mistakes(error),
            remedy="mend the named keys",
        ) from None


def _read_yaml(path: Path) -> dict[str, Any]:
    if path.suffix not in {".yaml", ".yml"} or not path.is_file():
        raise RecipeError(
            f"there is no recipe {path.stem if path.parent == SHIPPED else path}",
            expected=f"one of {', '.join(shipped_recipes())}, or the path of a .yaml file",
            remedy="name one of these",
        )
    try:
        values = load_plain(path.read_text())
    except ValueError as error:
        raise RecipeError(f"{path} is not plain YAML", found=str(error)) from None
    if not isinstance(values, dict):
        raise RecipeError(f"{path} is not a recipe", expected="a mapping of keys to values")
    return values


def _override(values: dict[str, Any], dotted: str, value: Any) -> None:
    *path, last = dotted.split(".")
    for key in path:
        values = values.setdefault(key, {})
        if not isinstance(values, dict):
            raise RecipeError(f"cannot set {dotted}: {key} holds a single value")
    values[last] = value


def release_id(
    commit: str, recipe: Recipe, sources: dict[str, str], versions: dict[str, str]
) -> str:
    """Name of a release: equal base, recipe, data and tools give the equal name.

    Args:
        commit: sha of the base's commit.
        recipe: the recipe.
        sources: digest of each source the recipe names, by its place in the recipe.
        versions: versions of the tools that change the result, by package.
    """
    parts = {"base": commit, "recipe": recipe.digest, "sources": sources, "versions": versions}
    return f"{recipe.name}-{commit[:8]}-{sha256_json(parts)[:10]}"
