"""The release's bill of materials, CycloneDX 1.6 with a model card (an ML-BOM).

What it is made of: the base, data, packages; what it consists of: its files; how it fared. The
library for this format has no model card, so the JSON is written here. Source:
cyclonedx.org/docs/1.6/json.
"""

import uuid
from typing import Any

from tasks.core.gate_records import Metrics, ValidateRecord
from tasks.core.manifest import FileRecord
from tasks.core.records import Release
from tasks.core.versions import installed
from tasks.upload.base_card import BaseCard
from tasks.upload.confined import VERDICT
from tasks.upload.metadata import task_of

SPACE = uuid.UUID("6f1b2c5e-63f4-5b6e-9a53-3f4f4f0b9a11")
"""Namespace of serial numbers: one release at one target has one."""
MODEL = "machine-learning-model"


def bill_of_materials(release: Release, base_card: BaseCard, hub_url: str) -> dict[str, Any]:
    """The document, ready for JSON.

    Args:
        release: the records and the recipe.
        base_card: what the base says of itself.
        hub_url: address of the Hub that holds base and data.
    """
    plan = release.plan
    packages, data = _packages(release), _data(release)
    made_of = [part["bom-ref"] for part in (*packages, *data)]
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(SPACE, f'{plan.target}@{plan.release_id}')}",
        "version": 1,
        "metadata": {
            "tools": {
                "components": [
                    {"type": "application", "name": name, "version": version}
                    for name, version in installed("roundhouse").items()
                ]
            },
            "component": _model(release, base_card, hub_url),
        },
        "components": [*packages, *data],
        "dependencies": [{"ref": "release", "dependsOn": made_of}],
    }


def _model(release: Release, base_card: BaseCard, hub_url: str) -> dict[str, Any]:
    plan = release.plan
    group, _, name = plan.target.partition("/")
    model = {
        "type": MODEL,
        "bom-ref": "release",
        "group": group,
        "name": name,
        "version": plan.release_id,
        "description": f"{release.recipe.scheme} of {plan.base}, made from commit {plan.commit}",
        "components": [_file(file) for file in release.convert.files],
        "pedigree": {"ancestors": [_base(release, hub_url)]},
        "modelCard": _card(release, base_card),
        "properties": [
            {"name": "roundhouse:recipe", "value": release.recipe.name},
            {"name": "roundhouse:recipe-digest", "value": release.recipe.digest},
            {"name": VERDICT, "value": release.validate.verdict},
            {"name": "roundhouse:engine", "value": release.validate.engine},
        ],
    }
    licence = base_card.license_name or base_card.license or plan.license
    return model | ({"licenses": [{"license": {"name": licence}}]} if licence else {})


def _base(release: Release, hub_url: str) -> dict[str, Any]:
    """The base, with its shards; the purl names its commit."""
    plan = release.plan
    group, _, name = plan.base.partition("/")
    return {
        "type": MODEL,
        "bom-ref": "base",
        "group": group,
        "name": name,
        "version": plan.commit,
        "purl": f"pkg:huggingface/{plan.base}@{plan.commit}",
        "components": [_file(file, "base:") for file in release.base_weights],
        "externalReferences": [{"type": "distribution", "url": f"{hub_url}/{plan.base}"}],
    }


def _file(file: FileRecord, prefix: str = "") -> dict[str, Any]:
    return {
        "type": "file",
        "bom-ref": f"{prefix}file:{file.path}",
        "name": file.path,
        "hashes": [{"alg": "SHA-256", "content": file.sha256}],
    }


def _card(release: Release, base_card: BaseCard) -> dict[str, Any]:
    plan = release.plan
    images = [{"format": "image"}] if task_of(plan, base_card).startswith("image") else []
    return {
        "modelParameters": {
            "task": task_of(plan, base_card),
            "architectureFamily": "transformer",
            "modelArchitecture": plan.architecture,
            "datasets": [{"ref": part["bom-ref"]} for part in _data(release)],
            "inputs": [{"format": "text"}, *images],
            "outputs": [{"format": "text"}],
        },
        "quantitativeAnalysis": {"performanceMetrics": _metrics(release.validate.metrics)},
        "considerations": {"technicalLimitations": [_limitation(release.validate)]},
    }


def _limitation(found: ValidateRecord) -> str:
    if not found.measured:
        return "Quality was not measured: the files were checked, and nothing was served."
    return f"Measured with {found.numerics}; other numerics give other rounding."


def _metrics(found: Metrics | None) -> list[dict[str, Any]]:
    if found is None:
        return []
    over = f"{found.texts} held-out texts, {found.tokens} tokens"
    values = {
        "perplexity": found.perplexity,
        "perplexity of the base": found.base_perplexity,
        "perplexity ratio": found.perplexity_ratio,
        f"mean KL divergence, top {found.k}, nats a token": found.mean_kl,
        f"99th percentile of KL divergence, top {found.k}": found.p99_kl,
        "top-1 agreement": found.top1_agreement,
    }
    return [
        {"type": kind, "value": f"{value:.6g}", "slice": over} for kind, value in values.items()
    ]


def _packages(release: Release) -> list[dict[str, Any]]:
    return [
        {
            "type": "library",
            "bom-ref": f"package:{name}",
            "name": name,
            "version": version,
            "purl": f"pkg:pypi/{name}@{version}",
        }
        for name, version in sorted(release.quantize.versions.items())
    ]


def _data(release: Release) -> list[dict[str, Any]]:
    """Calibration and held-out sources at their digests, and the calibration set itself."""
    sources = [
        {"type": "data", "bom-ref": f"data:{place}", "name": place, "version": digest}
        for place, digest in sorted(release.plan.sources.items())
    ]
    calibration = {
        "type": "data",
        "bom-ref": "data:calibration-set",
        "name": "calibration set",
        "version": release.calibrate.set_digest,
        "hashes": [{"alg": "SHA-256", "content": release.calibrate.set_digest}],
    }
    return [*sources, calibration]
