"""The plan stage: what will be made of which commit, and whether it can be made here.

Nothing heavy is downloaded: the base's config.json and the headers of its shards, and the recipe's
data where they are small. Everything that stands in the way is found before anything is made, and
said at once.
"""

import time
from pathlib import Path

from tasks.clients.hub import Hub
from tasks.clients.s3 import Store
from tasks.core.errors import TargetError
from tasks.core.progress import Reporter
from tasks.core.recipe import Recipe
from tasks.core.records import Estimate, Hardware, PlanRecord
from tasks.core.settings import Settings
from tasks.core.workspace import Workspace
from tasks.core.workspace_shared import Shared
from tasks.plan import base as bases
from tasks.plan import data, machine
from tasks.plan.draft import Draft
from tasks.plan.estimate import estimate_from
from tasks.plan.hardware import detect
from tasks.plan.problems import Problems
from tasks.plan.table import duration, gb

STAGE = "plan"
JSON, TABLE = "plan.json", "plan.md"


def run(
    base: str,
    *,
    revision: str,
    recipe: Recipe,
    target: str,
    hub: Hub,
    store: Store | None,
    settings: Settings,
    home: Path,
    reporter: Reporter,
    hardware: Hardware | None = None,
    shared: Shared | None = None,
) -> PlanRecord:
    """Plan a release, or refuse it with everything that stands in the way.

    Args:
        base: repository of the base.
        revision: branch, tag or commit of the base.
        recipe: how it is quantized.
        target: repository of the release; empty for none.
        hub: where base, data and target are.
        store: where the archive is; None checks no bucket.
        settings: name the archive and the serving environment.
        home: root of the workspaces.
        reporter: is told how far it is.
        hardware: of the machine that quantizes; this machine where not given.
        shared: what this machine has in common with others; None for nothing.

    Raises:
        InputError: base, recipe, target or bucket cannot be used as asked.
        MachineError: the machine is too small or lacks the serving environment.
        TransientError: the Hub or S3 did not answer.
    """
    started = time.monotonic()
    problems = Problems()
    hardware = hardware or detect(home)
    reporter.update(0.1, f"reading the headers of {base}")
    seen = bases.look_at(base, revision, hub, problems)
    reporter.update(0.4, "looking at the data")
    sources = data.pin(recipe, hub, home / "data", reporter, problems)
    reporter.update(0.7, "looking at target, archive and machine")
    with problems:
        _check_target(target, base, recipe, hub, reporter)
    with problems:
        if store is not None:
            store.check_writable(settings.archive)
    with problems:
        if store is not None and settings.workspace:
            store.check_writable(settings.workspace)
    problems.extend(machine.missing_programs(settings))
    estimate = _estimate(seen, recipe, hardware, home, problems)
    problems.raise_any()
    assert seen is not None and estimate is not None  # noqa: S101, PT018 - else there was a problem
    draft = Draft(seen, target, recipe, sources, hardware, estimate)
    record = _written(draft, home, shared, started)
    reporter.update(1.0, _summary(record))
    return record


def _check_target(target: str, base: str, recipe: Recipe, hub: Hub, reporter: Reporter) -> None:
    if target == base:
        raise TargetError(
            "the target is the base itself",
            expected="a repository of its own for the release",
            found=target,
            remedy="choose another target",
        )
    if target:
        hub.can_write(target)
    if target and not recipe.validation.measures:
        reporter.note(f"{recipe.name} measures no quality: {target} must be and stay private")
        hub.refuse_public(target)


def _estimate(
    seen: bases.Base | None, recipe: Recipe, hardware: Hardware, home: Path, problems: Problems
) -> Estimate | None:
    """What it takes; what speaks against base and machine is noted."""
    if seen is None:
        return None
    estimate = estimate_from(seen.config, seen.checkpoint.tensors, recipe, hardware)
    present = _present(Workspace.of_base(home, seen.repo, seen.commit).root)
    problems.extend(bases.refusals(seen, recipe))
    problems.extend(machine.too_small(estimate, hardware, present))
    return estimate


def _present(folder: Path) -> int:
    """Bytes that lie below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _written(draft: Draft, home: Path, shared: Shared | None, started: float) -> PlanRecord:
    """The plan's record.

    Files and digest stay those of the first plan, so that a plan made again on another machine does
    not look like another release; hardware, estimate and time are those of this one.
    """

    def make(folder: Path) -> dict[str, object]:
        (folder / JSON).write_text(draft.json())
        (folder / TABLE).write_text(draft.markdown())
        return draft.facts

    workspace = Workspace.of_release(home, draft.release_id, shared)
    record = workspace.run(STAGE, PlanRecord, draft.inputs, make)
    seconds = round(time.monotonic() - started, 3)
    now = {"hardware": draft.hardware, "estimate": draft.estimate, "seconds": seconds}
    return record.model_copy(update=now)


def _summary(plan: PlanRecord) -> str:
    taken = plan.estimate
    sizes = f"{gb(taken.base)} become about {gb(taken.release)}"
    return f"{plan.base}: {sizes}, in about {duration(taken.hours)}"
