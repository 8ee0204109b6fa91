"""Starting a release from the command line and following it to its end."""

import contextlib
import time
from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterParentFlowRunId,
)
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from rich.console import Console

from flows import artifacts
from flows.remote import read_failure
from flows.summary import SUMMARY_KEY, Summary
from tasks.core.digest import indented_json
from tasks.core.errors import (
    CanceledError,
    InputError,
    MachineError,
    PermanentError,
    TransientError,
)
from tasks.core.priority import Priority

DEPLOYMENT = "release/default"
POLL_SECONDS = 0.5
TAKEN_UP_SECONDS = 60.0
"""How soon the server takes up a run that crashed (`infra.local.crashed`)."""


def submit(
    client: SyncPrefectClient,
    parameters: dict[str, Any],
    *,
    key: str | None = None,
    tags: Sequence[str] = (),
    priority: Priority = Priority.DEFAULT,
) -> FlowRun:
    """Create a run of the release deployment.

    Args:
        client: of the Prefect server.
        parameters: of the flow.
        key: the run that was created under this key before is given back.
        tags: of the run, beside the deployment's.
        priority: of the run and of the stages that it starts.

    Raises:
        InputError: the parameters do not fit the deployment's schema.
        MachineError: the deployment does not exist.
        TransientError: the server does not answer.
    """
    with server_errors(client, DEPLOYMENT):
        deployment = client.read_deployment_by_name(DEPLOYMENT)
        return client.create_flow_run_from_deployment(
            deployment.id,
            parameters=parameters,
            idempotency_key=key,
            tags=tags,
            work_queue_name=priority.value,
        )


@contextlib.contextmanager
def server_errors(client: SyncPrefectClient, deployment: str) -> Iterator[None]:
    """Raise our errors in place of those of asking the server about a deployment.

    Raises:
        InputError: the server refuses what it was asked, or does not know this client.
        MachineError: the deployment does not exist.
        TransientError: the server does not answer.
    """
    try:
        yield
    except ObjectNotFound:
        raise MachineError(
            f"the deployment {deployment} does not exist",
            remedy="roundhouse up, or prefect deploy --all against your server",
        ) from None
    except httpx.TransportError as error:
        raise TransientError(
            "the Prefect server does not answer",
            expected=f"a server at {client.api_url}",
            found=str(error),
            remedy="roundhouse status says what of the embedded stack runs; then try again",
        ) from None
    except PrefectHTTPStatusError as error:
        if error.response.is_server_error:
            raise TransientError("the Prefect server failed", found=str(error)) from None
        if error.response.status_code == httpx.codes.UNAUTHORIZED:
            raise InputError(
                "the Prefect server does not know this client",
                expected="the server's user:password in PREFECT_API_AUTH_STRING",
                found=f"none or another one, for {client.api_url}",
                remedy="ask whoever runs the server for it",
            ) from None
        raise InputError("the run was refused", found=error.response.text) from None


def follow(client: SyncPrefectClient, run_id: UUID, console: Console) -> Summary:
    """Print what a run and its children do until it ends.

    Raises:
        RoundhouseError: what the run raised.
        CanceledError: it was canceled.
    """
    told, patience = _Told(console), _Patience()
    while True:
        with contextlib.suppress(httpx.TransportError):  # a restarting server is waited for
            run = client.read_flow_run(run_id)
            _tell(client, run_id, told)
            if run.state is not None and run.state.is_final() and not patience.waits(run):
                return _outcome(client, run)
        time.sleep(POLL_SECONDS)


class _Patience:
    """A run that crashed is not at its end while it may be taken up."""

    def __init__(self) -> None:
        self._crashed: float | None = None

    def waits(self, run: FlowRun) -> bool:
        """Whether to look again at a run that seems to be at its end."""
        if run.state is None or not run.state.is_crashed():
            return False
        if self._crashed is None:
            self._crashed = time.monotonic()
        return time.monotonic() - self._crashed < TAKEN_UP_SECONDS


class _Told:
    """What was printed already, so that each line is printed once."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last: dict[UUID, str] = {}

    def tell(self, artifact: UUID, stage: str, line: str) -> None:
        if self._last.get(artifact) != line:
            self._last[artifact] = line
            self._console.print(f"[bold]{stage:<10}[/] {line}", highlight=False)


def _tell(client: SyncPrefectClient, run_id: UUID, told: _Told) -> None:
    for artifact in reversed(artifacts.newest_first(client, _family(client, run_id))):
        if artifact.type == "progress" and artifact.key:
            stage = artifact.key.removesuffix("-progress")
            line = f"{float(str(artifact.data)):5.1f} %  {artifact.description or ''}"
            told.tell(artifact.id, stage, line)


def _family(client: SyncPrefectClient, run_id: UUID) -> list[UUID]:
    children = client.read_flow_runs(
        flow_run_filter=FlowRunFilter(
            parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=[run_id])
        )
    )
    return [run_id, *(child.id for child in children)]


def _outcome(client: SyncPrefectClient, run: FlowRun) -> Summary:
    state = run.state
    if state is not None and state.is_completed():
        left = artifacts.newest_first(client, [run.id], SUMMARY_KEY)
        return Summary.model_validate(artifacts.mapping(left[0]))
    if state is not None and state.is_cancelled():
        raise CanceledError(f"the run {run.name} was canceled")
    if state is not None and state.is_crashed():
        raise TransientError(
            f"the run {run.name} crashed",
            found=state.message or "",
            remedy="order the release again: what was finished is kept",
        )
    raise read_failure(client, run.id) or PermanentError(
        f"the run {run.name} failed", found=(state.message if state else None) or "no message"
    )


def release(parameters: dict[str, Any], console: Console, ui: str, priority: Priority) -> Summary:
    """Start a release, follow it, and return its outcome."""
    with get_client(sync_client=True) as client:
        started = time.monotonic()
        run = submit(client, parameters, priority=priority)
        console.print(f"run {run.name}: {ui}/runs/flow-run/{run.id}", highlight=False)
        summary = follow(client, run.id, console)
        return summary.model_copy(update={"wall": round(time.monotonic() - started, 1)})


def dump(summary: Summary) -> str:
    """The outcome as JSON for a file or a program."""
    return indented_json(summary)
