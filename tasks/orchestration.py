"""Prefect policy that all stages share: what is retried, how progress and failures are told.

With the `task.py` files this is the only module below the flows that imports Prefect.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar
from uuid import UUID

from prefect import Task, task
from prefect.artifacts import (
    Artifact,
    create_markdown_artifact,
    create_progress_artifact,
    update_progress_artifact,
)
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.events import emit_event
from prefect.logging import get_run_logger
from prefect.runtime import flow_run
from prefect.tasks import exponential_backoff

from tasks.core.errors import RoundhouseError, TransientError

P = ParamSpec("P")
R = TypeVar("R")

RETRIES = 4
BACKOFF_SECONDS = 5
JITTER = 0.5
THROTTLE_SECONDS = 2.0
FAILURE_KEY = "failure"
FAILED = "roundhouse.failed."
"""How the names of events begin that tell of a failure; the error's class follows."""


def is_transient(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Whether a failed try may be repeated: transient errors alone."""
    try:
        state.result()
    except TransientError:
        return True
    except Exception:  # noqa: BLE001 - whatever else was raised is not repeated
        return False
    return False


def stage_task(name: str) -> Callable[[Callable[P, R]], Task[P, R]]:
    """A Prefect task with the house policy: back-off with jitter, for transient errors only.

    Results are not cached by Prefect: the workspace knows what is finished, and verifies it. The
    task carries no tags: for each, Prefect asks the server for a concurrency slot, which SQLite
    often refuses at first, and the client then waits two seconds.
    """
    return task(
        name=name,
        task_run_name=name,
        retries=RETRIES,
        retry_delay_seconds=exponential_backoff(backoff_factor=BACKOFF_SECONDS),
        retry_jitter_factor=JITTER,
        retry_condition_fn=is_transient,
        cache_policy=NO_CACHE,
        persist_result=False,
    )


class PrefectReporter:
    """Tells a stage's progress to a Prefect progress artifact and its log.

    Args:
        stage: name of the stage, the artifact's key.
    """

    def __init__(self, stage: str) -> None:
        self._stage = stage
        self._artifact: UUID | None = None
        self._told = 0.0
        self._log = get_run_logger()

    def note(self, message: str) -> None:
        """Put the line into the run's log."""
        self._log.info("%s: %s", self._stage, message)

    def update(self, fraction: float, message: str) -> None:
        """Move the bar, at most every two seconds and at the end."""
        now = time.monotonic()
        if now - self._told < THROTTLE_SECONDS and fraction < 1:
            return
        self._told = now
        percent = round(100 * min(max(fraction, 0.0), 1.0), 1)
        if self._artifact is None:
            created = create_progress_artifact(
                progress=percent, key=f"{self._stage}-progress", description=message
            )
            self._artifact = created if isinstance(created, UUID) else None
        else:
            update_progress_artifact(self._artifact, progress=percent, description=message)


@contextmanager
def failures_told() -> Iterator[None]:
    """Keep a failure of our own kind as artifacts: one for people, one for the caller."""
    try:
        yield
    except RoundhouseError as error:
        _tell(error)
        raise


def _tell(error: RoundhouseError) -> None:
    failure = error.told()
    kind = failure["kind"]
    resource = {
        "prefect.resource.id": f"prefect.flow-run.{flow_run.id}",
        "prefect.resource.name": flow_run.name or "",
    }
    emit_event(FAILED + kind, resource=resource, payload=failure)
    Artifact(type="json", key=FAILURE_KEY, description=error.what, data=failure).create()
    create_markdown_artifact(key="what-went-wrong", markdown=f"# {kind}\n\n```\n{error}\n```\n")
