"""A recipe: every choice that makes one kind of release, from calibration to the gate's limits.

Recipes are YAML files; the shipped ones lie in `tasks/core/recipes`. A recipe has a digest, and
with the base's commit, the data and the versions of the tools it makes the release id: equal id,
equal release.
"""

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from tasks.core.digest import sha256_json
from tasks.core.errors import RecipeError
from tasks.core.manifest import Frozen
from tasks.core.plain_yaml import load_plain, mistakes

SHIPPED = Path(__file__).parent / "recipes"
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Source(Frozen):
    """Where rows of text come from: files of a Hub dataset, or local files.

    A row is a mapping with `messages` (a chat, optionally with `tools` and `thinking`), or with a
    text under the `text` key; a row of an image source also has `image`, a path beside the file.

    Attributes:
        files: path or glob of `.jsonl` or `.parquet` files, in the repo or on this machine.
        repo: a Hub dataset (`owner/name`); empty reads local files.
        revision: commit, tag or branch of the dataset; plan resolves it to a commit.
        text: key of the text in a row.
    """

    files: Annotated[str, Field(min_length=1)]
    repo: Annotated[str, Field(pattern=r"^$|^[\w.-]+/[\w.-]+$")] = ""
    revision: str = "main"
    text: str = "text"


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
            algorithm with kernels of our own, several times as fast.
        iters: sign-gradient steps a block; 0 rounds to nearest.
        batch_size: calibration samples a step.
        seed: of the sampler.
        learning_rate: step of the rounding offsets; null is 1 / iters, as AutoRound has it.
    """

    tuner: Literal["autoround", "fused"] = "autoround"
    iters: Annotated[int, Field(ge=0, le=10_000)] = 200
    batch_size: Count = 8
    seed: int = 42
    learning_rate: Positive | None = None


class Serving(Frozen):
    """How vLLM serves base and candidate while they are compared.

    Attributes:
        max_model_len: tokens of context the server keeps room for.
        max_num_seqs: requests at once.
        images_per_prompt: images a request may carry.
        startup_seconds: how long the server may take to answer its first request.
        logprobs: k of the top-k log-probabilities asked for each prompt token.
    """

    max_model_len: Count = 32768
    max_num_seqs: Count = 8
    images_per_prompt: Annotated[int, Field(ge=0)] = 2
    startup_seconds: Positive = 1800
    logprobs: Annotated[int, Field(ge=1, le=1000)] = 20


class Limits(Frozen):
    """What the comparison of base and candidate must hold, or the release stops.

    Attributes:
        mean_kl: most mean KL divergence, nats a token (top-k ids plus one tail bucket).
        perplexity_ratio: most perplexity of the candidate over the base's.
        top1_agreement: least share of positions whose likeliest token is the base's.
        sure_agreement: the same, of positions where the base gives its likeliest token 90%.
        stratum_kl: most mean KL divergence of any kind of text.
        flips: most share of positions where just one of both predicts the token that stands there.
        control_ratio: most KL divergence over that of weights rounded to nearest.
        floor_kl: most mean KL of the base against itself; above it nothing can be measured.
        gain: most that the candidate may seem better than the base, as a share of perplexity.
        size_ratio: most bytes of the release over the base's.
    """

    mean_kl: Positive
    perplexity_ratio: Annotated[float, Field(gt=1, allow_inf_nan=False)]
    top1_agreement: Share
    sure_agreement: Share | None = None
    stratum_kl: Positive | None = None
    flips: Share | None = None
    control_ratio: Positive | None = 1.0
    floor_kl: Positive = 0.02
    gain: Positive = 0.05
    size_ratio: Share = 0.5


class Validation(Frozen):
    """What is served and compared before a release may leave.

    Attributes:
        heldout: rows that calibration never sees; overlap is refused.
        texts: how many of them are compared at first, as many of each kind as there are.
        most_texts: how many at most, where the first leave it open; null is `texts`.
        tokens: tokens of each that are compared, at most.
        canaries: requests that must be answered: chat, image, tool call, reasoning.
        strict_canaries: also require the right answers; false for an untrained base.
        arms: what is measured beside the candidate: `floor`, the base served again, and
            `control`, its weights rounded to nearest.
        second_engine: texts that plain transformers measures too, to tell damage of weights from
            that of activations; 0 is none.
        seed: of the bootstrap.
        serving: how base and candidate are served.
        limits: what the comparison must hold.
    """

    heldout: Source
    texts: Count = 64
    most_texts: Count | None = None
    tokens: Annotated[int, Field(ge=16)] = 512
    canaries: tuple[Literal["chat", "image", "tool_call", "reasoning"], ...] = (
        "chat",
        "image",
        "tool_call",
        "reasoning",
    )
    strict_canaries: bool = True
    arms: tuple[Literal["floor", "control"], ...] = ("floor", "control")
    second_engine: Annotated[int, Field(ge=0)] = 0
    seed: int = 42
    serving: Serving = Serving()
    limits: Limits

    @property
    def budget(self) -> int:
        """Texts that are compared at most."""
        return max(self.texts, self.most_texts or 0)


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
