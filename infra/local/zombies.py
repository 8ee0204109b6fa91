"""Runs whose processes are gone are called crashed, as soon as nothing more is heard of them.

After certain events of a run another one is expected in time (source: Prefect's guide "How to
detect and respond to zombie flows"). The pools' templates have runs send heartbeats often enough;
Prefect's default is as long as what is waited for here.
"""

from datetime import timedelta

from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification

from infra.local.environment import HEARTBEAT_SECONDS

MISSED_HEARTBEATS = 6
ALIVE = ("Running", "heartbeat", "Cancelling")
TAKEN = ("Pending", "Submitting", "InfrastructurePending")
"""States that a worker gives a run before its process says anything."""
BEGIN_SECONDS = {"process": HEARTBEAT_SECONDS * MISSED_HEARTBEATS}
PATIENCE_SECONDS = 1800
"""How long a container may take to begin: a node is started for it, and an image fetched."""


def zombies() -> AutomationCore:
    """Calls a run crashed whose heartbeats stop, and one that does not end when it is canceled."""
    return _silent(
        "Crash zombie flow runs",
        "Marks runs as crashed when their heartbeats stop.",
        ALIVE,
        HEARTBEAT_SECONDS * MISSED_HEARTBEATS,
        "No heartbeat: its processes are gone.",
    )


def never_begun(kind: str) -> AutomationCore:
    """Calls a run crashed that a worker took and that never began: the worker died.

    Else it would hold its slots for ever.

    Args:
        kind: type of the work pools; containers are given longer than processes.
    """
    return _silent(
        "Crash runs that never begin",
        "Marks runs as crashed that a worker took and that did not begin.",
        TAKEN,
        BEGIN_SECONDS.get(kind, PATIENCE_SECONDS),
        "It never began: its worker is gone.",
    )


def _silent(
    name: str, description: str, after: tuple[str, ...], seconds: float, message: str
) -> AutomationCore:
    return AutomationCore(
        name=name,
        description=description,
        trigger=EventTrigger(
            after={f"prefect.flow-run.{event}" for event in after},
            expect={"prefect.flow-run.*"},
            match=ResourceSpecification({"prefect.resource.id": ["prefect.flow-run.*"]}),
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=timedelta(seconds=seconds),
        ),
        actions=[ChangeFlowRunState(state=StateType.CRASHED, message=message)],
    )
