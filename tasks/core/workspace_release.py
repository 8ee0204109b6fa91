"""A whole release on one machine, for the stages that read what all others made."""

from dataclasses import replace
from pathlib import Path

from tasks.core.records import Release
from tasks.core.workspace import Workspace
from tasks.core.workspace_shared import Shared


def release_here(release: Release, home: Path, shared: Shared | None) -> Release:
    """A release whose files all lie on this machine, brought from another one if need be.

    Args:
        release: what the stages said.
        home: root of the workspaces.
        shared: what this machine has in common with others; None for nothing.

    Raises:
        IntegrityError: shared files are gone or damaged; another run makes them again.
        ResourceError: the disk is too small.
    """
    plan = release.plan
    made = Workspace.of_release(home, plan.release_id, shared)
    return replace(
        release,
        plan=made.here(plan),
        download=Workspace.of_base(home, plan.base, plan.commit, shared).here(release.download),
        calibrate=made.here(release.calibrate),
        quantize=made.here(release.quantize),
        convert=made.here(release.convert),
        validate=made.here(release.validate),
    )
