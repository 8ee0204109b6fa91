"""What automations wait for: an event of a run of the flow `release`."""

from datetime import timedelta

from prefect.events.schemas.automations import EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification


def of_releases(events: set[str]) -> EventTrigger:
    """Fires at each event of these names that a release's run emits."""
    return EventTrigger(
        expect=events,
        match=ResourceSpecification({"prefect.resource.id": ["prefect.flow-run.*"]}),
        match_related=ResourceSpecification(
            {"prefect.resource.role": "flow", "prefect.resource.name": "release"}
        ),
        posture=Posture.Reactive,
        threshold=1,
        within=timedelta(0),
    )
