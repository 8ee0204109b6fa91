"""What a Prefect server needs before deployments: work pools and automations.

What is missing is made and what differs is changed, so it may run again at any time.
"""

import json
import shlex
import sys
from pathlib import Path
from typing import Any

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import WorkPool
from prefect.events.schemas.automations import Automation, AutomationCore

from infra.local.crashed import crashed_releases
from infra.local.layout import ROOT
from infra.local.notices import notices
from infra.local.orphans import ENGINE
from infra.local.queues import keep_queues
from infra.local.zombies import never_begun, zombies

TEMPLATES = ROOT / "infra" / "pools"
POOLS = {
    "cpu": "Stages that need no accelerator, and the releases that lead the others.",
    "gpu": "Quantize and validate: one run a GPU at a time.",
}


def prepare(client: SyncPrefectClient, gpus: int, folder: Path) -> None:
    """Make the work pools and the automations.

    The limit of `gpu` is the pool's, beside the workers' own: a run that outlived its worker still
    holds the GPU.

    Args:
        client: of the server.
        gpus: runs that the machine's GPUs take at once.
        folder: in which runs work.
    """
    templates = {n: local_template(TEMPLATES / f"{n}-process.json", folder) for n in POOLS}
    keep_all(client, "process", templates, gpus)


def keep_all(
    client: SyncPrefectClient, kind: str, templates: dict[str, dict[str, Any]], gpus: int
) -> None:
    """Make what a server needs before deployments, or change what differs.

    Args:
        client: of the server.
        kind: type of the pools.
        templates: base job template by pool.
        gpus: runs of the pool `gpu` at once.
    """
    limits = {"cpu": None, "gpu": gpus}
    for name, template in templates.items():
        keep_pool(client, name, kind, template, limits[name])
        keep_queues(client, name)
    for automation in (zombies(), never_begun(kind), crashed_releases(), *notices(client)):
        keep_automation(client, automation)


def keep_pool(
    client: SyncPrefectClient, name: str, kind: str, template: dict[str, Any], limit: int | None
) -> None:
    """Make a work pool, or change it where it differs.

    Args:
        client: of the server.
        name: of the pool.
        kind: its type.
        template: its base job template.
        limit: of its runs at once.
    """
    wanted = WorkPoolCreate(
        name=name,
        type=kind,
        description=POOLS[name],
        base_job_template=template,
        concurrency_limit=limit,
    )
    existing = {pool.name: pool for pool in client.read_work_pools()}
    if name not in existing or not _same(existing[name], wanted):
        client.create_work_pool(wanted, overwrite=True)


def _same(pool: WorkPool, wanted: WorkPoolCreate) -> bool:
    fields = ("type", "description", "base_job_template", "concurrency_limit")
    return all(getattr(pool, field) == getattr(wanted, field) for field in fields)


def local_template(path: Path, folder: Path) -> dict[str, Any]:
    """A process pool's base job template whose runs work in `folder`.

    With a command given, Prefect starts it at once; without, a process of its own first finds out
    where the flow's code lies, which is known here.
    """
    template: dict[str, Any] = json.loads(path.read_bytes())
    variables = template["variables"]["properties"]
    variables["working_dir"]["default"] = str(folder)
    variables["command"]["default"] = shlex.join([sys.executable, "-m", ENGINE])
    return template


def keep_automation(client: SyncPrefectClient, wanted: AutomationCore) -> None:
    """Make it, or change it where it differs: a change forgets which runs are being watched."""
    found = client.read_automations_by_name(wanted.name)
    if not found:
        client.create_automation(wanted)
    elif _essence(found[0]) != _essence(wanted):
        client.update_automation(found[0].id, wanted)


def _essence(automation: AutomationCore | Automation) -> dict[str, Any]:
    fields = {"name", "description", "enabled", "trigger", "actions"}
    essence = automation.model_dump(mode="json", include=fields)
    trigger = essence["trigger"]
    trigger.pop("id", None)
    return essence
