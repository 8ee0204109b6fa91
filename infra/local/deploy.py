"""Deploys the project's `prefect.yaml`, where it changed."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import DeploymentSchedule, Flow

from infra.local.ending import MARK
from infra.local.environment import base_environment
from infra.local.layout import Layout
from infra.local.prefect_client import client_of
from tasks.core.digest import sha256_file, sha256_json
from tasks.core.process import Child

DEADLINE_SECONDS = 180.0
SHAPING = ("flows/**/*.py", "tasks/**/*.py", "tasks/core/recipes/*.yaml", "prefect.yaml")
"""Files that shape a deployment: its entry point, its parameters and their defaults."""
PAGE = 200


def deploy(layout: Layout, env: Mapping[str, str], project: Path) -> str:
    """Run `prefect deploy --all` unless that very content is deployed. Gives one line about it.

    Args:
        layout: of the stack.
        env: the stack's client environment.
        project: folder that holds `prefect.yaml`.

    Raises:
        PermanentError: Prefect refused a deployment; its words are in the message.
    """
    if not (project / "prefect.yaml").is_file():
        return "no prefect.yaml, so nothing is deployed"
    with client_of(env) as client:
        digest = _digest(project)
        if _is_deployed(layout, digest, _deployed(client)):
            return "deployments up to date"
        before = _schedules(client)
        _run(layout, env, project)
        _restore(client, before)
        names = sorted(_deployed(client))
    _stamp(layout).write_text(json.dumps({"digest": digest, "names": names}))
    return f"deployed {', '.join(names)}"


def _schedules(client: SyncPrefectClient) -> dict[tuple[UUID, str], DeploymentSchedule]:
    """Every schedule that has a name, by its deployment and name."""
    return {
        (deployment.id, schedule.slug): schedule
        for deployment in client.read_deployments(limit=PAGE)
        for schedule in deployment.schedules
        if schedule.slug
    }


def _restore(client: SyncPrefectClient, before: dict[tuple[UUID, str], DeploymentSchedule]) -> None:
    """Give schedules back the times and the pause that somebody set; deploying resets both."""
    for key, schedule in _schedules(client).items():
        if key in before:
            client.update_deployment_schedule(
                schedule.deployment_id or key[0],
                schedule.id,
                active=before[key].active,
                schedule=before[key].schedule,
            )


def _run(layout: Layout, env: Mapping[str, str], project: Path) -> None:
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"]
    everything = base_environment() | dict(env) | {MARK: str(layout.home)}
    with Child(command, layout.log("deploy"), everything, project) as child:
        child.follow(deadline=DEADLINE_SECONDS)


def _is_deployed(layout: Layout, digest: str, present: set[str]) -> bool:
    """Whether this very content was deployed and is still there."""
    path = _stamp(layout)
    if not path.is_file():
        return False
    stamp = json.loads(path.read_bytes())
    return stamp["digest"] == digest and set(stamp["names"]) <= present


def _stamp(layout: Layout) -> Path:
    return layout.root / "deployed.json"


def _deployed(client: SyncPrefectClient) -> set[str]:
    """Names of the server's deployments, `flow/deployment`."""
    flows: dict[object, Flow] = {flow.id: flow for flow in client.read_flows(limit=PAGE)}
    return {f"{flows[d.flow_id].name}/{d.name}" for d in client.read_deployments(limit=PAGE)}


def _digest(project: Path) -> str:
    files = sorted({path for pattern in SHAPING for path in project.glob(pattern)})
    return sha256_json({str(path): sha256_file(path) for path in files})
