"""Every point, in the order of a release."""

from tests.faults import (
    points_archive,
    points_download,
    points_processes,
    points_together,
    points_upload,
    points_workspace,
)
from tests.faults.point import Point

POINTS: tuple[Point, ...] = (
    *points_download.POINTS,
    *points_processes.POINTS,
    *points_workspace.POINTS,
    *points_upload.POINTS,
    *points_archive.POINTS,
    *points_together.POINTS,
)


def chosen(names: str) -> list[Point]:
    """The points of these names, separated by commas, in their order; all for an empty text.

    Raises:
        ValueError: there is no such point.
    """
    known = {point.name: point for point in POINTS}
    wanted = [name for name in names.split(",") if name] or list(known)
    if unknown := sorted(set(wanted) - set(known)):
        raise ValueError(f"no such points: {', '.join(unknown)}; there are: {', '.join(known)}")
    return [known[name] for name in wanted]
