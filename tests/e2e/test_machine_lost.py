"""A machine that dies for good while it tunes, and another that ends what it began."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import pytest
from huggingface_hub import HfApi
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.follow import submit
from infra.local.environment import BUCKET
from tasks.clients.shared_store import SharedStore
from tasks.core.recipe import load_recipe
from tasks.core.records import ConvertRecord, PlanRecord, QuantizeRecord
from tasks.core.settings import Settings
from tests.e2e.elsewhere import machine, variables, workers_rest
from tests.e2e.house import BASE, RELEASE_SECONDS, House, wait_for
from tests.flows.shared_chain import Host

pytestmark = [pytest.mark.e2e, pytest.mark.heavy]
TARGET = "roundhouse/machine-lost"
WORKSPACE = f"s3://{BUCKET}/machine-lost"
# Blocks that take longer than it takes to send one, so that each but the one under way is in S3.
CHANGES = {"tuning.tuner": "fused", "tuning.iters": 100, "calibration.seed": 1411}
KEPT = 2
BEGIN_SECONDS = 300.0


def test_another_machine_goes_on_where_one_was_lost(house: House, tmp_path: Path) -> None:
    """Nobody does anything but start the second machine, which has Prefect and S3 in common.

    Missing heartbeats tell the server. Only the block that was under way is tuned again, and the
    weights that are published are those of a quantization that nothing disturbed.
    """
    one, two = tmp_path / "one", tmp_path / "two"
    settings = _settings(variables(house, two, WORKSPACE))
    with workers_rest(house), _ordered(house) as (client, run):
        with machine(house, one, WORKSPACE):
            wait_for("blocks in S3", lambda: len(_sent(settings)) >= KEPT, BEGIN_SECONDS)
        sent = _sent(settings)
        assert len(sent) >= KEPT
        assert sent <= {b.stem for b in one.glob("releases/*/scratch/quantize/tuned/*.safetensors")}
        shutil.rmtree(one)
        with machine(house, two, WORKSPACE):
            alone = settings.model_copy(update={"home": tmp_path / "alone", "workspace": ""})
            planned, quantized, converted = _undisturbed(alone)
            ended = wait_for("the end", lambda: _ended(client, run), RELEASE_SECONDS)
    assert ended.state_name == "Completed"
    log = (two / f"releases/{planned.release_id}/scratch/quantize/worker.log").read_text()
    assert set(re.findall(r"(\S+) is taken from an earlier run", log)) == sent
    assert len(sent) < len(quantized.blocks)
    weights = {f.path: f.sha256 for f in converted.files if f.path.endswith(".safetensors")}
    assert _published(house, planned.release_id) == weights


@contextmanager
def _ordered(house: House) -> Iterator[tuple[SyncPrefectClient, UUID]]:
    """A release that is ordered, and taken back unless it has come to its end."""
    parameters = {"base": BASE, "target": TARGET, "recipe": "light", "changes": CHANGES}
    with (
        temporary_settings({PREFECT_API_URL: house.env["PREFECT_API_URL"]}),
        get_client(sync_client=True) as client,
    ):
        run = submit(client, parameters)
        try:
            yield client, run.id
        finally:
            if _ended(client, run.id) is None:
                client.delete_flow_run(run.id)


def _ended(client: SyncPrefectClient, run_id: UUID) -> FlowRun | None:
    """The run if it is at its end; one that crashed is taken up again."""
    run = client.read_flow_run(run_id)
    over = run.state is not None and run.state.is_final() and not run.state.is_crashed()
    return run if over else None


def _settings(env: dict[str, str]) -> Settings:
    """As a process with these variables reads them."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in env.items():
            patch.setenv(name, value)
        return Settings()


def _sent(settings: Settings) -> set[str]:
    """Names of the finished blocks that are in S3 for whoever goes on."""
    there = SharedStore.from_settings(settings).entries(f"{WORKSPACE}/releases")
    return {Path(entry.path).stem for entry in there if ".scratch/" in entry.path}


def _undisturbed(settings: Settings) -> tuple[PlanRecord, QuantizeRecord, ConvertRecord]:
    """The same weights, made in one go by a third machine that shares nothing."""
    host, recipe = Host(settings), load_recipe("light", CHANGES)
    planned = host.plan(BASE, recipe)
    downloaded = host.download(planned)
    calibrated = host.calibrate(planned, downloaded, recipe)
    quantized = host.quantize(planned, downloaded, calibrated, recipe)
    return planned, quantized, host.convert(planned, downloaded, quantized, recipe)


def _published(house: House, revision: str) -> dict[str, str]:
    """Sha256 of each shard on the Hub, by path."""
    hub = HfApi(house.env["HF_ENDPOINT"], token=house.env["HF_TOKEN"])
    there = hub.model_info(TARGET, revision=revision, files_metadata=True).siblings or []
    return {
        f.rfilename: f.lfs.sha256 for f in there if f.lfs and f.rfilename.endswith("safetensors")
    }
