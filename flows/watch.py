"""The scheduled look at watched bases, and the releases that it orders."""

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from prefect.client.orchestration import get_client
from prefect.logging import get_run_logger

from flows.present import present
from flows.watcher import Watcher
from tasks.core.errors import ServingError
from tasks.core.settings import Settings
from tasks.orchestration import failures_told
from tasks.validate.engine import find_engine
from tasks.watch.orders import Finding
from tasks.watch.states import States
from tasks.watch.task import watch as look

ARTIFACT = "watch"


@flow(name="watch", flow_run_name="watch", persist_result=False)
def watch(act: bool = True) -> None:  # noqa: FBT001, FBT002 - a switch of the form
    """Look at the watched bases and order the releases that they ask for.

    New weights are quantized; a changed tokenizer, template or configuration makes a new release of
    the archived weights; a changed card makes nothing.

    Args:
        act: Order the releases; otherwise only say what would be ordered, and why.
    """
    with present(), failures_told():
        found = look(serving_engine())
        if act:
            with get_client(sync_client=True) as client:
                states = States.from_settings(Settings())
                found = Watcher(client, states, get_run_logger()).act(found)
        create_markdown_artifact(key=ARTIFACT, markdown=_markdown(found), description="What is due")


def serving_engine() -> str:
    """Serving engine and version of this machine; empty where it has none."""
    try:
        return str(find_engine(Settings().serve_python))
    except ServingError:
        return ""


def _markdown(found: list[Finding]) -> str:
    rows = "".join(
        f"| {f.base} | {f.target} | **{f.action}** | {_one_line(f.reason)} | {_run(f)} |\n"
        for f in found
    )
    head = "| base | target | action | why | run |\n|---|---|---|---|---|\n"
    return f"# {len(found)} watched bases\n\n{head}{rows}"


def _run(finding: Finding) -> str:
    order = finding.order
    return f"[{order.status}](/runs/flow-run/{order.run})" if order and order.run else ""


def _one_line(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
