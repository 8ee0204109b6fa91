"""The recipe's data: pinned, and counted where counting is cheap."""

from pathlib import Path

from tasks.clients.hub import Hub
from tasks.clients.sources import ResolvedSource, Row, load_rows, resolve_source
from tasks.core.errors import RecipeError
from tasks.core.progress import Reporter
from tasks.core.recipe import Recipe
from tasks.core.recipe_source import Source
from tasks.plan.problems import Problems

SOURCE, IMAGES = "calibration.source", "calibration.images"
CHEAP = 200_000_000
"""Bytes up to which a source's rows are read now; above, calibrate counts them."""


def pin(
    recipe: Recipe, hub: Hub, cache: Path, reporter: Reporter, problems: Problems
) -> dict[str, str]:
    """The digest of each source, by its place in the recipe; what is wrong is noted.

    Args:
        recipe: names the sources.
        hub: where those on the Hub are.
        cache: folder that keeps the Hub's files for the stages that follow.
        reporter: is told what could not be counted.
        problems: takes what is wrong.
    """
    digests = {}
    for place, source in sources(recipe).items():
        with problems:
            reporter.note(f"looking at {place}: {source.files} {source.repo}".rstrip())
            resolved = resolve_source(source, hub)
            digests[place] = resolved.digest
            if resolved.size > CHEAP:
                reporter.note(f"{place} has {resolved.size / 1e6:.0f} MB: counted when it is read")
            else:
                _enough(place, _rows(source, hub, cache, resolved), recipe)
    return digests


def sources(recipe: Recipe) -> dict[str, Source]:
    """The sources that a run of the recipe reads, by their place in it."""
    calibration = recipe.calibration
    images = {IMAGES: calibration.images} if calibration.images else {}
    used = images if calibration.image_samples else {}
    return {SOURCE: calibration.source, **used, **recipe.validation.sources}


def _rows(source: Source, hub: Hub, cache: Path, resolved: ResolvedSource) -> list[Row]:
    return load_rows(source, hub, cache, resolved.digest)


def _enough(place: str, rows: list[Row], recipe: Recipe) -> None:
    """Compare the rows with what is asked of them.

    A calibration sample starts a row of its own, so it needs at least one.

    Raises:
        RecipeError: too few rows, or rows of images without an image.
    """
    calibration, judging = recipe.calibration, recipe.validation
    key, needed = {
        SOURCE: ("nsamples", calibration.nsamples - calibration.image_samples),
        IMAGES: ("image_samples", calibration.image_samples),
        **dict.fromkeys(judging.sources, ("texts", judging.texts)),
        **{task.place: ("items", task.items) for task in judging.tasks},
    }[place]
    if len(rows) < needed:
        raise RecipeError(
            f"{place} has too few rows",
            expected=f"at least {needed} ({key})",
            found=f"{len(rows)} rows",
            remedy=f"lower {key}, or name more data",
        )
    if place == IMAGES and (bare := sum(not isinstance(row.get("image"), Path) for row in rows)):
        raise RecipeError(
            f"{bare} of {len(rows)} rows of {place} name no image",
            expected="image: a path beside the file",
            remedy="mend these rows, or set image_samples to 0",
        )
