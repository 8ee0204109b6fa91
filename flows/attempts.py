"""How often a release is taken up that crashes."""

from prefect.runtime import flow_run

from tasks.core.errors import PermanentError

MOST = 10
"""Runs of one release, the first included."""


def refuse_too_many() -> None:
    """End a release that was taken up often enough.

    Raises:
        PermanentError: it crashed every time.
    """
    count = flow_run.run_count
    if count > MOST:
        raise PermanentError(
            f"the release crashed {MOST} times",
            expected="machines that live until a stage is made",
            found=f"run {count} of it",
            remedy="look for the kernel's out-of-memory killer on the workers; what was finished "
            "is kept, and a new run of the release goes on from there",
        )
