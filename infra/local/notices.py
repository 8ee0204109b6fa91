"""Who is told when a release fails: an automation, where somebody has named a place to tell it.

The place is a Prefect block called `roundhouse-notices`, made in the UI under Blocks: one that
notifies (Slack, e-mail, Teams and others), or a plain webhook. Its kind decides what is sent.
"""

from datetime import timedelta

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import BlockDocument
from prefect.events.actions import ActionTypes, CallWebhook, SendNotification
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification

BLOCK = "roundhouse-notices"
ENDED_BADLY = {"prefect.flow-run.Failed", "prefect.flow-run.Crashed"}
NOTIFIES = "notify"
SUBJECT = "{{ flow_run.name }}: {{ flow_run.state.name }}"
BODY = """{{ flow_run.state.message }}

{{ flow_run|ui_url }}
"""
PAYLOAD = """{"run": {{ flow_run.name|tojson }}, "state": {{ flow_run.state.name|tojson }},
"message": {{ flow_run.state.message|tojson }}, "url": {{ flow_run|ui_url|tojson }}}"""


def notices(client: SyncPrefectClient) -> list[AutomationCore]:
    """The automations that tell; none without the block."""
    return [failed_releases(block) for block in _blocks(client)]


def _blocks(client: SyncPrefectClient) -> list[BlockDocument]:
    """Blocks of that name that something can be sent through, of whatever kind."""
    documents = client.read_block_documents(limit=200, include_secrets=False)
    return [document for document in documents if document.name == BLOCK]


def failed_releases(block: BlockDocument) -> AutomationCore:
    """Tells of each release that failed or crashed; a verdict that says no is such a failure."""
    kind = block.block_type.slug if block.block_type else ""
    return AutomationCore(
        name=f"Tell of failed releases ({kind})",
        description=f"Sends a notice through the block {block.name}.",
        trigger=EventTrigger(
            expect=ENDED_BADLY,
            match=ResourceSpecification({"prefect.resource.id": ["prefect.flow-run.*"]}),
            match_related=ResourceSpecification(
                {"prefect.resource.role": "flow", "prefect.resource.name": "release"}
            ),
            posture=Posture.Reactive,
            threshold=1,
            within=timedelta(0),
        ),
        actions=[_sent(block)],
    )


def _sent(block: BlockDocument) -> ActionTypes:
    capabilities = block.block_schema.capabilities if block.block_schema else []
    if NOTIFIES in capabilities:
        return SendNotification(block_document_id=block.id, subject=SUBJECT, body=BODY)
    return CallWebhook(block_document_id=block.id, payload=PAYLOAD)
