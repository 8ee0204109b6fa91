"""Who is told when a release fails: automations, where somebody has named a place to tell it.

The place is a Prefect block called `roundhouse-notices`, made in the UI under Blocks: one that
notifies (Slack, e-mail, Teams and others), or a plain webhook. Its kind decides what is sent.
"""

from dataclasses import dataclass

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import BlockDocument
from prefect.events.actions import ActionTypes, CallWebhook, SendNotification
from prefect.events.schemas.automations import AutomationCore

from infra.local.triggers import of_releases
from tasks.core.errors import Undecided
from tasks.orchestration import FAILED

BLOCK = "roundhouse-notices"
ENDED_BADLY = {"prefect.flow-run.Failed", "prefect.flow-run.Crashed"}
NOTIFIES = "notify"


@dataclass(frozen=True)
class Notice:
    """Jinja templates of a message: for blocks that notify, and for plain webhooks."""

    subject: str
    body: str
    payload: str


ENDED = Notice(
    subject="{{ flow_run.name }}: {{ flow_run.state.name }}",
    body="{{ flow_run.state.message }}\n\n{{ flow_run|ui_url }}\n",
    payload="""{"run": {{ flow_run.name|tojson }}, "state": {{ flow_run.state.name|tojson }},
"message": {{ flow_run.state.message|tojson }}, "url": {{ flow_run|ui_url|tojson }}}""",
)
UNDECIDED = Notice(
    subject="{{ flow_run.name }}: the gate decided nothing",
    body="{{ event.payload.what }}\n\n{{ event.payload.found }}\n\n"
    "More held-out texts narrow the bounds: --set validation.most_texts=…; "
    "docs/how-to/when-the-gate-says-no.md.\n\n{{ flow_run|ui_url }}\n",
    payload="""{"run": {{ flow_run.name|tojson }}, "state": "Undecided",
"message": {{ event.payload.what|tojson }}, "found": {{ event.payload.found|tojson }},
"url": {{ flow_run|ui_url|tojson }}}""",
)


def notices(client: SyncPrefectClient) -> list[AutomationCore]:
    """The automations that tell; none without the block."""
    kinds = (failed_releases, undecided_gates)
    return [kind(block) for block in _blocks(client) for kind in kinds]


def _blocks(client: SyncPrefectClient) -> list[BlockDocument]:
    """Blocks of that name that something can be sent through, of whatever kind."""
    documents = client.read_block_documents(limit=200, include_secrets=False)
    return [document for document in documents if document.name == BLOCK]


def failed_releases(block: BlockDocument) -> AutomationCore:
    """Tells of each release or rehearsed restore that failed or crashed.

    A verdict that says no is such a failure.
    """
    kind = block.block_type.slug if block.block_type else ""
    return AutomationCore(
        name=f"Tell of failed releases ({kind})",
        description=f"Sends a notice through the block {block.name}.",
        trigger=of_releases(ENDED_BADLY, "rehearse"),
        actions=[_sent(block, ENDED)],
    )


def undecided_gates(block: BlockDocument) -> AutomationCore:
    """Tells of each release whose gate decided nothing: more texts may, and somebody must say so.

    It fails too, so it is told twice; this notice names what to do, and can be sent elsewhere.
    """
    kind = block.block_type.slug if block.block_type else ""
    return AutomationCore(
        name=f"Tell of undecided gates ({kind})",
        description=f"Sends a notice of verdicts INCONCLUSIVE through the block {block.name}.",
        trigger=of_releases({FAILED + Undecided.__name__}),
        actions=[_sent(block, UNDECIDED)],
    )


def _sent(block: BlockDocument, what: Notice) -> ActionTypes:
    capabilities = block.block_schema.capabilities if block.block_schema else []
    if NOTIFIES in capabilities:
        return SendNotification(block_document_id=block.id, subject=what.subject, body=what.body)
    return CallWebhook(block_document_id=block.id, payload=what.payload)
