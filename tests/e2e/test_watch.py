"""A watched author's new base, and each kind of commit to it: what the schedule makes of them."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
import yaml
from huggingface_hub import CommitOperationAdd, HfApi, constants
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterTags
from prefect.client.schemas.objects import FlowRun
from prefect.settings import PREFECT_API_URL, temporary_settings

from infra.local.base_model.build import build
from infra.local.base_model.history import Step, history
from tasks.core.settings import Settings
from tasks.watch.orders import State
from tasks.watch.states import States
from tests.e2e.house import RELEASE_SECONDS, ROOT, House, wait_for

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.heavy,
    pytest.mark.timeout(1800),
    # huggingface_hub's LFS upload of bytes, in the way that its HTTP client no longer likes
    pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning"),
]
BASE, TARGET = "roundhouse/watched-tiny", "roundhouse/watched-tiny-NVFP4"
LIMITS = {"validation.limits.size_ratio": 1.0}
"""Two layers are few beside their embeddings."""
EVERY = "10"
LOOK_SECONDS = 90


@dataclass(frozen=True)
class Upstream:
    """A base of a watched author, and what the house knows of it."""

    house: House
    api: HfApi
    client: SyncPrefectClient
    steps: list[Step]
    states: States

    def commit(self, number: int) -> str:
        """Make the next commit of the base's history."""
        step = self.steps[number]
        adding = [CommitOperationAdd(path, data) for path, data in step.files.items()]
        return self.api.create_commit(BASE, adding, commit_message=step.title).oid

    def runs(self) -> list[FlowRun]:
        """The releases that were ordered, oldest first."""
        tagged = FlowRunFilter(tags=FlowRunFilterTags(all_=["watch"]))
        found = self.client.read_flow_runs(flow_run_filter=tagged)
        ours = [run for run in found if run.parameters.get("base") == BASE]
        return sorted(ours, key=lambda run: str(run.created))

    @property
    def state(self) -> State:
        """What the watchers know of the target."""
        return self.states.of_target(TARGET).state

    def released(self, count: int) -> State:
        """Wait until so many releases were ordered and the last is known to be made."""

        def look() -> State | None:
            runs, state = self.runs(), self.state
            failed = [run for run in runs if run.state and run.state.is_failed()]
            assert not failed, failed[0].state
            done = state.order and state.order.status == "released"
            return state if done and len(runs) >= count else None

        return wait_for(f"release {count}", look, RELEASE_SECONDS)

    def published(self) -> tuple[dict[str, str], dict[str, str], list[str]]:
        """LFS digests and git ids of the target's files, and its tags."""
        files = self.api.model_info(TARGET, files_metadata=True).siblings or []
        weights = {f.rfilename: f.lfs.sha256 for f in files if f.lfs}
        assert any(name.endswith(".safetensors") for name in weights)
        others = {f.rfilename: f.blob_id or "" for f in files if not f.lfs}
        return weights, others, [tag.name for tag in self.api.list_repo_refs(TARGET).tags]


@pytest.fixture(scope="module")
def upstream(house: House, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upstream]:
    """The watch list is written and the schedule runs; the base does not exist yet."""
    folder = tmp_path_factory.mktemp("upstream")
    build(folder, layers=2)
    today = datetime.now(UTC).date()
    entry: dict[str, Any] = {"author": "roundhouse", "names": "watched-*", "since": today}
    entry |= {"target": "roundhouse/{name}-NVFP4", "recipe": "light", "changes": LIMITS}
    (house.home / "watch.yaml").write_text(yaml.safe_dump({"authors": [entry]}))
    states = States.from_settings(
        Settings.model_validate(
            {
                "s3_endpoint": house.env["AWS_ENDPOINT_URL_S3"],
                "s3_access_key": house.env["AWS_ACCESS_KEY_ID"],
                "s3_secret_key": house.env["AWS_SECRET_ACCESS_KEY"],
                "archive": house.env["ROUNDHOUSE_ARCHIVE"],
            }
        )
    )
    api = HfApi(house.env["HF_ENDPOINT"], token=house.env["HF_TOKEN"])
    with (
        pytest.MonkeyPatch.context() as patch,
        temporary_settings({PREFECT_API_URL: house.env["PREFECT_API_URL"]}),
        get_client(sync_client=True) as client,
    ):
        patch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # the stack's setting, read at import
        assert house.roundhouse("watch", "--every", EVERY).status == 0
        yield Upstream(house, api, client, history(folder), states)
        assert house.roundhouse("watch", "--every", "0").status == 0


def test_each_commit_makes_what_it_asks_for(upstream: Upstream) -> None:
    """New base: a release. Card: nothing. Tokenizer: old weights, new files. Weights: a release.

    All by the schedule, but the last: two watchers look at once, and there is one release.
    """
    upstream.api.create_repo(BASE)
    upstream.commit(0)
    first = upstream.released(1)
    weights, others, tags = upstream.published()
    assert len(tags) == 1

    card = upstream.commit(1)
    wait_for("a look", lambda: _seen(upstream.state) == card, LOOK_SECONDS)
    assert len(upstream.runs()) == 1
    assert upstream.state.released == first.released

    tokenizer = upstream.commit(2)
    second = upstream.released(2)
    assert second.order is not None
    assert second.order.action == "metadata"
    assert second.order.parameters["revision"] == tokenizer
    weights_then, others_then, tags_then = upstream.published()
    assert weights_then == weights
    assert others_then["tokenizer_config.json"] != others["tokenizer_config.json"]
    assert len(tags_then) == 2
    assert _stage_runs(upstream, "quantize") == 1
    assert _stage_runs(upstream, "validate") == 2

    assert upstream.house.roundhouse("watch", "--every", "0").status == 0
    upstream.commit(3)
    _two_watchers(upstream.house)
    runs = upstream.runs()
    assert len(runs) == 3
    assert "reuse" not in runs[-1].parameters
    assert upstream.house.roundhouse("watch", "--every", EVERY).status == 0
    third = upstream.released(3)
    assert len(upstream.runs()) == 3
    assert third.order is not None
    assert third.order.action == "requantize"
    weights_now, _, tags_now = upstream.published()
    assert weights_now != weights
    assert len(tags_now) == 3


def _seen(state: State) -> str:
    return state.seen.commit if state.seen else ""


def _stage_runs(upstream: Upstream, stage: str) -> int:
    """How often a stage was run for the target."""
    runs = upstream.client.read_flow_runs(flow_run_filter=FlowRunFilter())
    ids = set(upstream.published()[2])
    return sum(run.name in {f"{stage} {release}" for release in ids} for run in runs)


def _two_watchers(house: House) -> None:
    """Two processes of the flow `watch` that start together."""
    command = [sys.executable, "-c", "from flows.watch import watch; watch()"]
    pair = [
        subprocess.Popen(command, env=house.env, cwd=ROOT, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for process in pair:
        _, said = process.communicate(timeout=120)
        assert process.returncode == 0, said


def test_a_look_says_what_is_due(upstream: Upstream) -> None:
    """`roundhouse watch --once` names base, target, action and reason, and orders nothing."""
    before = len(upstream.runs())
    said = upstream.house.roundhouse("watch", "--once", "--json")
    assert said.status == 0, said.err
    assert '"action": "nothing"' in said.out
    assert BASE in said.out
    assert len(upstream.runs()) == before
