"""Where a release comes from, as an in-toto statement with a SLSA v1 provenance predicate.

Sources: in-toto.io/Statement/v1 and slsa.dev/provenance/v1. No predicate for models is standard.
"""

from collections.abc import Mapping
from typing import Any

from tasks.core.published import EVIDENCE
from tasks.core.records import Release
from tasks.core.versions import installed
from tasks.sign.envelope import STATEMENT

BUILD_TYPE = "urn:roundhouse:release:v1"
PREDICATE = "https://slsa.dev/provenance/v1"
VERDICT = "verdict"
COMMIT = "commit:"


def provenance(release: Release, files: Mapping[str, str], hub_url: str) -> dict[str, Any]:
    """The statement, ready for JSON.

    Args:
        release: the records.
        files: sha256 of every file that is published, by its path.
        hub_url: address of the Hub that holds base and data.
    """
    plan = release.plan
    return {
        "_type": STATEMENT,
        "subject": [_resource(path, sha256) for path, sha256 in sorted(files.items())],
        "predicateType": PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {
                    "base": plan.base,
                    "commit": plan.commit,
                    "target": plan.target,
                    "recipe": release.recipe.model_dump(mode="json"),
                },
                "internalParameters": {
                    "recipe_digest": release.recipe.digest,
                    "tuner": release.quantize.tuner,
                    "weights_of": release.quantize.reused or plan.release_id,
                    "device": release.quantize.device,
                    "versions": release.quantize.versions,
                    "engine": release.validate.engine,
                },
                "resolvedDependencies": _dependencies(release, hub_url),
            },
            "runDetails": {
                "builder": {"id": "urn:roundhouse", "version": installed("roundhouse")},
                "metadata": {"invocationId": plan.release_id},
                "byproducts": _byproducts(release),
            },
        },
    }


def _resource(name: str, sha256: str) -> dict[str, Any]:
    return {"name": name, "digest": {"sha256": sha256}}


def _dependencies(release: Release, hub_url: str) -> list[dict[str, Any]]:
    """Base commit and shards, data, calibration set, packages."""
    plan = release.plan
    at = f"{hub_url}/{plan.base}/resolve/{plan.commit}"
    base = {"uri": f"{hub_url}/{plan.base}", "digest": {"gitCommit": plan.commit}}
    shards = [
        _resource(file.path, file.sha256) | {"uri": f"{at}/{file.path}"}
        for file in release.base_weights
    ]
    data = [_data(place, digest) for place, digest in sorted(plan.sources.items())]
    calibration = _resource("calibration", release.calibrate.set_digest)
    packages = [
        {"name": name, "uri": f"pkg:pypi/{name}@{version}"}
        for name, version in sorted(release.quantize.versions.items())
    ]
    return [base, *shards, *data, calibration, *packages]


def _data(place: str, digest: str) -> dict[str, Any]:
    if digest.startswith(COMMIT):
        return {"name": f"data:{place}", "digest": {"gitCommit": digest.removeprefix(COMMIT)}}
    return _resource(f"data:{place}", digest)


def _byproducts(release: Release) -> list[dict[str, Any]]:
    """The gate's verdict with its figures, what each stage made, the evidence's files."""
    found = release.validate
    verdict = {
        "name": VERDICT,
        "annotations": {
            "verdict": found.verdict,
            "metrics": found.metrics and found.metrics.model_dump(mode="json"),
            "checks": [check.model_dump(mode="json") for check in found.checks],
            "kernel": found.kernel,
            "repairs": [step.model_dump(mode="json") for step in release.convert.repairs],
            "numerics": found.numerics,
        },
    }
    stages = [_resource(f"stage:{record.stage}", record.digest) for record in release.stages]
    evidence = [_resource(f"{EVIDENCE}/{file.path}", file.sha256) for file in release.evidence]
    return [verdict, *stages, *evidence]
