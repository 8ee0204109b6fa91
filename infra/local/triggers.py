"""What automations wait for: an event of a run of the flow `release`, or of others too."""

from datetime import timedelta

from prefect.events.schemas.automations import EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification


def of_releases(events: set[str], *others: str) -> EventTrigger:
    """Fires at each event of these names that a run of a release, or of the other flows, emits."""
    return EventTrigger(
        expect=events,
        match=ResourceSpecification({"prefect.resource.id": ["prefect.flow-run.*"]}),
        match_related=ResourceSpecification(
            {"prefect.resource.role": "flow", "prefect.resource.name": ["release", *others]}
        ),
        posture=Posture.Reactive,
        threshold=1,
        within=timedelta(0),
    )
