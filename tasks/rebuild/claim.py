"""What a release's signed provenance says of how it was made."""

from collections.abc import Iterator
from typing import Any

from tasks.core.errors import InputError, IntegrityError
from tasks.core.manifest import Frozen
from tasks.core.plain_yaml import load_plain
from tasks.core.published import PROVENANCE, RECIPE
from tasks.core.recipe import Recipe, parse_recipe
from tasks.core.repair_records import RepairStep

DATA, CALIBRATION, VERDICT = "data:", "calibration", "verdict"
COMMIT = "commit:"
RESOLVE = "/resolve/"
"""In the address of a file at a commit."""
BUILD_TYPE = "urn:roundhouse:release:v1"


class Claim(Frozen):
    """How a release was made, by its provenance.

    Attributes:
        release: its name.
        base: repository of the base.
        commit: its commit.
        recipe_digest: of the recipe.
        weights_of: the release that the weights were quantized for; mostly this one.
        device: what they were quantized on.
        versions: of the packages that shaped them.
        sources: digest of each data source, by its place in the recipe.
        shards: sha256 of each of the base's weight files, by path.
        calibration: digest of the calibration set.
        repairs: layers that each repair kept, by full name.
        files: sha256 of every published file that the provenance covers, by path.
    """

    release: str
    base: str
    commit: str
    recipe_digest: str
    weights_of: str
    device: str
    versions: dict[str, str]
    sources: dict[str, str]
    shards: dict[str, str]
    calibration: str
    repairs: tuple[tuple[str, ...], ...]
    files: dict[str, str]


def read_claim(statement: dict[str, Any]) -> Claim:
    """What an in-toto statement of ours claims; its signature is checked by whoever opened it.

    Raises:
        IntegrityError: it is not the provenance of a release, or lacks something.
        InputError: the weights were quantized for another release.
    """
    try:
        claim = _claim(statement)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise IntegrityError(
            f"{PROVENANCE} does not say how the release was made",
            expected=f"a statement of the build type {BUILD_TYPE}",
            found=f"{type(error).__name__}: {error!s:.200}",
            remedy="rebuild with the version of Roundhouse that made the release",
        ) from None
    if claim.weights_of != claim.release:
        raise InputError(
            f"the weights of {claim.release} were not quantized for it",
            expected="a release that was quantized, not one that took archived weights",
            found=f"weights of {claim.weights_of}",
            remedy=f"rebuild the release {claim.weights_of}, whose weights they are",
        )
    return claim


def read_recipe(data: bytes, claim: Claim) -> Recipe:
    """The recipe of a release, if it is the one that its provenance names.

    Args:
        data: bytes of the release's `recipe.yaml`.
        claim: names the recipe's digest.

    Raises:
        RecipeError: it has keys or values that this version of Roundhouse does not take.
        IntegrityError: it is no YAML, or another recipe.
    """
    try:
        recipe = parse_recipe(load_plain(data.decode()), source=RECIPE)
    except ValueError as error:  # decoding errors are of this kind too
        raise IntegrityError(f"{RECIPE} is not plain YAML", found=f"{error!s:.200}") from None
    if recipe.digest != claim.recipe_digest:
        raise IntegrityError(
            f"{RECIPE} is not the recipe that the provenance names",
            expected=claim.recipe_digest,
            found=recipe.digest,
            remedy="rebuild with the version of Roundhouse that made the release",
        )
    return recipe


def _claim(statement: dict[str, Any]) -> Claim:
    made = statement["predicate"]
    build, run = made["buildDefinition"], made["runDetails"]
    if build["buildType"] != BUILD_TYPE:
        msg = f"the build type {build['buildType']}"
        raise ValueError(msg)
    asked, inside = build["externalParameters"], build["internalParameters"]
    named = {d["name"]: d for d in build["resolvedDependencies"] if "name" in d}
    return Claim(
        release=run["metadata"]["invocationId"],
        base=asked["base"],
        commit=asked["commit"],
        recipe_digest=inside["recipe_digest"],
        weights_of=inside["weights_of"],
        device=inside["device"],
        versions=inside["versions"],
        sources={n.removeprefix(DATA): _pin(d) for n, d in named.items() if n.startswith(DATA)},
        shards={n: d["digest"]["sha256"] for n, d in named.items() if RESOLVE in d.get("uri", "")},
        calibration=named[CALIBRATION]["digest"]["sha256"],
        repairs=tuple(_repairs(run["byproducts"])),
        files={s["name"]: s["digest"]["sha256"] for s in statement["subject"]},
    )


def _pin(dependency: dict[str, Any]) -> str:
    digest = dependency["digest"]
    return COMMIT + digest["gitCommit"] if "gitCommit" in digest else str(digest["sha256"])


def _repairs(byproducts: list[dict[str, Any]]) -> Iterator[tuple[str, ...]]:
    (verdict,) = (each["annotations"] for each in byproducts if each["name"] == VERDICT)
    for step in map(RepairStep.model_validate, verdict["repairs"]):
        yield tuple(module for kept in step.kept for module in kept.modules)
