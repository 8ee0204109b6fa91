"""What is killed or canceled while a release is made."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from huggingface_hub import HfApi
from playwright.sync_api import expect
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateName,
)
from prefect.client.schemas.objects import FlowRun
from prefect.settings import PREFECT_API_URL, temporary_settings

from tests.e2e.browser import page
from tests.e2e.house import BASE, RELEASE_SECONDS, ROOT, House, processes, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.heavy, pytest.mark.browser]
QUANTIZE_CHILD = "tasks.quantize.worker"
SERVER = "vllm.entrypoints.openai.api_server"
GONE_SECONDS = 20
FEW = (
    "validation.texts=8",
    "validation.most_texts=null",
    "validation.tokens=64",
    "validation.tasks=[]",
    "validation.arms=[]",
    "validation.second_engine=0",
    (
        "validation.limits={mean_kl: 10, perplexity_ratio: 10, top1_agreement: 0, "
        "control_ratio: null, gain: 10, size_ratio: 1}"
    ),
)
"""Served and judged, and no more than that: what is tried here is what becomes of it."""


@contextmanager
def _release(house: House, target: str, *changes: str) -> Iterator[subprocess.Popen[str]]:
    sets = [word for change in changes for word in ("--set", change)]
    command = [sys.executable, "-m", "flows", "release", BASE, "--to", target, "--recipe", "demo"]
    with subprocess.Popen(
        [*command, *sets],
        env=house.env,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as release:
        try:
            yield release
        finally:
            release.kill()


@contextmanager
def _prefect(house: House) -> Iterator[SyncPrefectClient]:
    with (
        temporary_settings({PREFECT_API_URL: house.env["PREFECT_API_URL"]}),
        get_client(sync_client=True) as client,
    ):
        yield client


def _running(client: SyncPrefectClient, name: str) -> FlowRun | None:
    running = FlowRunFilterState(name=FlowRunFilterStateName(any_=["Running"]))
    runs = client.read_flow_runs(flow_run_filter=FlowRunFilter(state=running))
    return next((run for run in runs if name in run.name), None)


def test_killed_child_and_killed_workers(house: House) -> None:
    """SIGKILL of the quantize child, then of both workers: the release completes, once."""
    target = "roundhouse/killed"
    with _release(house, target, "tuning.iters=2", "tuning.seed=7", *FEW) as release:
        child = wait_for("quantize", lambda: processes(house.home, QUANTIZE_CHILD), 120)[0]
        child.kill()
        again = wait_for(
            "a second try",
            lambda: [p for p in processes(house.home, QUANTIZE_CHILD) if p.pid != child.pid],
            60,
        )
        assert again
        for worker in processes(house.home, "worker", "start", "--pool gpu"):
            worker.kill()
        wait_for("vLLM", lambda: processes(house.home, SERVER), 240)
        for worker in processes(house.home, "worker", "start", "--pool cpu"):
            worker.kill()
        out, _ = release.communicate(timeout=RELEASE_SECONDS)
    assert release.returncode == 0, out[-2000:]
    hub = HfApi(house.env["HF_ENDPOINT"], token=house.env["HF_TOKEN"])
    assert len(hub.list_repo_commits(target)) == 2
    assert len(hub.list_repo_refs(target).tags) == 1
    wait_for("a new GPU worker", lambda: processes(house.home, "worker", "start", "--pool gpu"), 60)


@pytest.mark.parametrize(
    ("what", "stage", "changes"),
    [
        (QUANTIZE_CHILD, "quantize", ("tuning.iters=9999", "tuning.seed=8")),
        (SERVER, "validate", ("tuning.tuner=rtn", "tuning.iters=0", "tuning.seed=9")),
    ],
)
def test_cancel_ends_children(
    house: House, what: str, stage: str, changes: tuple[str, ...]
) -> None:
    """The UI's Cancel button ends the quantize child, or vLLM, within seconds."""
    with (
        _release(house, f"roundhouse/canceled-{stage}", *changes) as release,
        _prefect(house) as client,
    ):
        wait_for(what, lambda: processes(house.home, what), 240)
        run = wait_for("the run", lambda: _running(client, f"canceled-{stage}"), 10)
        _click_cancel(f"{house.ui}/runs/flow-run/{run.id}")
        wait_for("the end", lambda: not processes(house.home, what), GONE_SECONDS)
        out, _ = release.communicate(timeout=60)
        child = wait_for("its end", lambda: _canceled(client, stage), 30)
    assert release.returncode == 2, out[-2000:]
    assert "canceled" in out
    assert child.state_name == "Cancelled"


def _click_cancel(run: str) -> None:
    with page() as at:
        at.goto(run)
        at.get_by_role("button", name="Cancel").click(timeout=60_000)
        at.get_by_role("button", name="Confirm").click()
        expect(at.get_by_text("Cancelling").first).to_be_visible()


def _canceled(client: SyncPrefectClient, stage: str) -> FlowRun | None:
    canceled = FlowRunFilterState(name=FlowRunFilterStateName(any_=["Cancelled"]))
    runs = client.read_flow_runs(flow_run_filter=FlowRunFilter(state=canceled))
    return next((run for run in runs if run.name.startswith(stage)), None)
