"""Scores on registered benchmarks, for the Hub's own table; other results are in the card alone."""

from tasks.clients.eval_results import Result, as_yaml
from tasks.core.gate_records import TaskScore
from tasks.core.published import EVIDENCE
from tasks.core.records import Release

COMMIT = "commit:"


def eval_results(release: Release, hub_url: str) -> str:
    """Text of `.eval_results/roundhouse.yaml`; empty where no task is a registered benchmark.

    Args:
        release: the records and the recipe.
        hub_url: address of the Hub, for the link to the evidence.
    """
    plan, scores = release.plan, {score.name: score for score in release.validate.tasks}
    found = [
        Result(
            benchmark=task.benchmark,
            revision=_revision(plan.sources.get(task.place, ""))
            if task.benchmark.startswith(f"{task.source.repo}:")
            else "",
            value=100 * scores[task.name].candidate,
            url=f"{hub_url}/{plan.target}/tree/{plan.release_id}/{EVIDENCE}",
            source=f"Roundhouse, {release.validate.engine}",
            notes=_notes(scores[task.name]),
        )
        for task in release.recipe.validation.tasks
        if task.benchmark and task.name in scores
    ]
    return as_yaml(found) if found else ""


def _revision(digest: str) -> str:
    return digest.removeprefix(COMMIT).partition(":")[0] if digest.startswith(COMMIT) else ""


def _notes(score: TaskScore) -> str:
    return f"{score.items} items, exact match, greedy; the base: {100 * score.base:.2f}"
