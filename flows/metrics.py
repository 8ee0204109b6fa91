"""What Prometheus may know of the releases: read from the Prefect server at each scrape.

Nothing is kept here, so it may run anywhere, once, and be started again at any time.
"""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterKey,
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterParentTaskRunId,
    FlowRunFilterState,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
    WorkQueueFilter,
    WorkQueueFilterName,
)
from prefect.client.schemas.objects import Artifact, StateType
from prefect.client.schemas.sorting import ArtifactSort
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from flows import artifacts
from flows.summary import SUMMARY_KEY, Summary
from tasks.orchestration import FAILURE_KEY

FLOWS = ("release", "quantize", "validate", "watch")
WAITING = [StateType.SCHEDULED, StateType.PENDING]
DAYS = 30
PAGE = 200
LABELS = ["target", "stage"]
TIMES = {
    "roundhouse_stage_seconds": "Seconds of a stage of a target's latest release",
    "roundhouse_planned_seconds": "What the plan said of it",
    "roundhouse_gpu_seconds": "Seconds of an accelerator in it",
    "roundhouse_cost": "Cost of the worker's time, in the currency of the settings",
}


class Releases(Collector):
    """Runs, queues, verdicts and stage times of a Prefect server.

    Args:
        client: of the server.
    """

    def __init__(self, client: SyncPrefectClient) -> None:
        self._client = client

    def collect(self) -> Iterator[Metric]:
        """Ask the server for everything; four counts a flow, and the artifacts of 30 days."""
        yield self._runs()
        yield self._waiting()
        summaries = [_summary(each) for each in self._artifacts(SUMMARY_KEY)]
        yield self._verdicts(summaries)
        yield from _times(summaries)

    def _runs(self) -> Metric:
        family = GaugeMetricFamily(
            "roundhouse_runs", "Runs by flow and state", labels=["flow", "state"]
        )
        for flow in FLOWS:
            for state in StateType:
                count = self._client.count_flow_runs(
                    flow_filter=FlowFilter(name=FlowFilterName(any_=[flow])),
                    flow_run_filter=_in_states([state]),
                )
                family.add_metric([flow, state.value.lower()], count)
        return family

    def _waiting(self) -> Metric:
        family = GaugeMetricFamily(
            "roundhouse_waiting_runs", "Runs that no worker has begun", labels=["pool", "queue"]
        )
        for pool in self._client.read_work_pools():
            for queue in self._client.read_work_queues(work_pool_name=pool.name):
                count = self._client.count_flow_runs(
                    flow_run_filter=_in_states(WAITING),
                    work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[pool.name])),
                    work_queue_filter=WorkQueueFilter(name=WorkQueueFilterName(any_=[queue.name])),
                )
                family.add_metric([pool.name, queue.name], count)
        return family

    def _verdicts(self, summaries: list[Summary]) -> Metric:
        family = GaugeMetricFamily(
            "roundhouse_verdicts", f"Verdicts of {DAYS} days", labels=["verdict"]
        )
        counts = Counter(summary.verdict for summary in summaries)
        told = (artifacts.mapping(each).get("verdict") for each in self._artifacts(FAILURE_KEY))
        for verdict, count in (counts + Counter(filter(None, told))).items():
            family.add_metric([verdict], count)
        return family

    def _artifacts(self, key: str) -> list[Artifact]:
        """What runs that no other run waits for left under a key, of 30 days, the newest first."""
        since = datetime.now(UTC) - timedelta(days=DAYS)
        found: list[Artifact] = []
        while True:
            page = self._client.read_artifacts(
                artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=[key])),
                sort=ArtifactSort.CREATED_DESC,
                flow_run_filter=FlowRunFilter(
                    parent_task_run_id=FlowRunFilterParentTaskRunId(is_null_=True)
                ),
                limit=PAGE,
                offset=len(found),
            )
            recent = [each for each in page if each.created and each.created >= since]
            found += recent
            if len(recent) < PAGE:
                return found


def _in_states(states: list[StateType]) -> FlowRunFilter:
    return FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=states)))


def _summary(artifact: Artifact) -> Summary:
    return Summary.model_validate(artifacts.mapping(artifact))


def _times(summaries: list[Summary]) -> Iterator[Metric]:
    """Of the latest release of each target, so that there are as many series as targets."""
    families = {name: GaugeMetricFamily(name, said, labels=LABELS) for name, said in TIMES.items()}
    latest = {summary.hub_repo: summary for summary in reversed(summaries)}
    for repo, summary in latest.items():
        for stage in summary.spent.stages:
            values = (stage.seconds, stage.planned, stage.gpu_seconds, stage.cost)
            for family, value in zip(families.values(), values, strict=True):
                if value is not None:
                    family.add_metric([repo, stage.stage], value)
    yield from families.values()
