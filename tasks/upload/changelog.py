"""What changed from one release of a target to the next: CHANGELOG.md, newest first."""

from typing import Any

from tasks.core.gate_records import Metrics
from tasks.core.records import Release
from tasks.upload.former import Former, inputs_of
from tasks.upload.markup import code

TITLE = "# Changelog\n"
MEASURES = {
    "perplexity": "perplexity",
    "perplexity_ratio": "perplexity over the base's",
    "mean_kl": "mean KL divergence",
    "p99_kl": "99th percentile of KL divergence",
    "top1_agreement": "top-1 agreement",
}
ABSENT = "none"


def changelog(release: Release, former: Former | None) -> str:
    """The page of a release: its own part above what the former release's page says.

    Args:
        release: the records and the recipe.
        former: the release that stands at the target, if one does.
    """
    own = f"\n## {release.plan.release_id}\n\n"
    if former is None:
        return f"{TITLE}{own}The first release that stands here.\n"
    changes = _changes(former.inputs, _inputs(release))
    inputs = _table("changed", changes) if changes else "Made from the same base and recipe.\n"
    figures = _table("measured", _measured(former.metrics, release.validate.metrics))
    earlier = former.changelog.removeprefix(TITLE)
    return f"{TITLE}{own}After {code(former.release_id)}.\n\n{inputs}\n{figures}{earlier}"


def _inputs(release: Release) -> dict[str, Any]:
    plan = release.plan
    made = {
        "base": plan.base,
        "commit": plan.commit,
        "recipe": release.recipe.model_dump(mode="json"),
    }
    return inputs_of(made, release.quantize.versions)


def _changes(before: dict[str, Any], after: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    names = [*after, *(name for name in before if name not in after)]
    return [
        (name, before.get(name, ABSENT), after.get(name, ABSENT))
        for name in names
        if before.get(name, ABSENT) != after.get(name, ABSENT)
    ]


def _measured(before: dict[str, Any], after: Metrics | None) -> list[tuple[str, Any, Any]]:
    return [
        (shown, _figure(before.get(name)), _figure(getattr(after, name, None)))
        for name, shown in MEASURES.items()
    ]


def _figure(value: Any) -> str:
    return f"{value:.5f}" if isinstance(value, int | float) else ABSENT


def _table(title: str, rows: list[tuple[str, Any, Any]]) -> str:
    lines = [f"| {code(name)} | {code(old)} | {code(new)} |\n" for name, old, new in rows]
    return "".join([f"| {title} | before | now |\n|---|---|---|\n", *lines])
