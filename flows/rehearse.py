"""The scheduled restore of the newest archived release."""

from prefect import flow
from prefect.artifacts import create_markdown_artifact

from flows.commands.verify import verifier_of
from flows.present import present
from flows.rehearsal import Rehearsed
from flows.rehearsal import rehearse as restored
from tasks.core.settings import Settings
from tasks.orchestration import PrefectReporter, failures_told, stage_task

NAME, SCHEDULE = "rehearse/default", "restore"
"""Deployment and schedule in prefect.yaml."""
ARTIFACT = "restored"


@flow(name="rehearse", flow_run_name="rehearse", persist_result=False)
def rehearse() -> None:
    """Restore the newest archived release to scratch and verify every file; then remove it."""
    with present(), failures_told():
        made = _restored()
        create_markdown_artifact(key=ARTIFACT, markdown=_markdown(made), description="It came back")


@stage_task("rehearse")
def _restored() -> Rehearsed:
    settings = Settings()
    verifier = verifier_of(settings, None, unsigned=False)
    return restored(settings, verifier, PrefectReporter("rehearse"))


def _markdown(made: Rehearsed) -> str:
    rows = "".join(f"| {name} | {value} |\n" for name, value in made.model_dump().items())
    return f"# {made.release_id} came back\n\n| | |\n|---|---|\n{rows}"
