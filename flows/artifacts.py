"""Reading back what runs left as artifacts."""

import json
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    ArtifactFilterKey,
)
from prefect.client.schemas.objects import Artifact


def newest_first(
    client: SyncPrefectClient, runs: list[UUID], key: str | None = None
) -> list[Artifact]:
    """Artifacts of some runs, all of them or those with one key."""
    found = client.read_artifacts(
        artifact_filter=ArtifactFilter(
            flow_run_id=ArtifactFilterFlowRunId(any_=runs),
            key=ArtifactFilterKey(any_=[key]) if key else None,
        )
    )
    return sorted(found, key=lambda artifact: str(artifact.created), reverse=True)


def mapping(artifact: Artifact) -> dict[str, Any]:
    """The data of an artifact that holds a mapping; the server gives it back as JSON text."""
    data = json.loads(artifact.data) if isinstance(artifact.data, str) else artifact.data
    if not isinstance(data, dict):
        msg = f"artifact {artifact.key} holds no mapping"
        raise TypeError(msg)
    return data
