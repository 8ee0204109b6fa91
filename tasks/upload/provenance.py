"""Where a release comes from, as an in-toto statement with a SLSA v1 provenance predicate.

Sources: in-toto.io/Statement/v1 and slsa.dev/provenance/v1. No predicate for models is standard.
"""

from typing import Any

from tasks.core.manifest import FileRecord
from tasks.core.versions import installed
from tasks.upload.sources import EVIDENCE, Sources

BUILD_TYPE = "urn:roundhouse:release:v1"


def provenance(sources: Sources, hub_url: str) -> dict[str, Any]:
    """The statement, ready for JSON.

    Args:
        sources: the records.
        hub_url: address of the Hub that holds base and data.
    """
    plan = sources.plan
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [_resource(file) for file in sources.convert.files],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {
                    "base": plan.base,
                    "commit": plan.commit,
                    "target": plan.target,
                    "recipe": sources.recipe.model_dump(mode="json"),
                },
                "internalParameters": {
                    "recipe_digest": sources.recipe.digest,
                    "tuner": sources.quantize.tuner,
                    "versions": sources.quantize.versions,
                    "engine": sources.validate.engine,
                },
                "resolvedDependencies": _dependencies(sources, hub_url),
            },
            "runDetails": {
                "builder": {"id": "urn:roundhouse", "version": installed("roundhouse")},
                "metadata": {"invocationId": plan.release_id},
                "byproducts": _byproducts(sources),
            },
        },
    }


def _resource(file: FileRecord, prefix: str = "") -> dict[str, Any]:
    return {"name": f"{prefix}{file.path}", "digest": {"sha256": file.sha256}}


def _dependencies(sources: Sources, hub_url: str) -> list[dict[str, Any]]:
    plan = sources.plan
    at = f"{hub_url}/{plan.base}/resolve/{plan.commit}"
    base = {"uri": f"{hub_url}/{plan.base}", "digest": {"gitCommit": plan.commit}}
    shards = [_resource(file) | {"uri": f"{at}/{file.path}"} for file in sources.base_weights]
    data = [
        {"name": f"data:{place}", "annotations": {"digest": digest}}
        for place, digest in sorted(plan.sources.items())
    ]
    calibration = {"name": "calibration", "digest": {"sha256": sources.calibrate.set_digest}}
    return [base, *shards, *data, calibration]


def _byproducts(sources: Sources) -> list[dict[str, Any]]:
    stages = [
        {"name": f"stage:{record.stage}", "digest": {"sha256": record.digest}}
        for record in sources.stages
    ]
    return [*stages, *(_resource(file, f"{EVIDENCE}/") for file in sources.evidence)]
