"""The YAML on top of a model card, as the Hub reads it."""

from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field

from tasks.core.gate_records import Metrics
from tasks.core.published import EVIDENCE
from tasks.core.records import PlanRecord, Release
from tasks.upload.base_card import BaseCard

SCORED = {"exact_match": "Exact match", "perplexity": "Perplexity"}
TAGS = ("nvfp4", "compressed-tensors", "vllm", "auto-round")


class Metadata(BaseModel):
    """Keys of the card; those that are None are left out.

    Source: huggingface.co/docs/hub/model-cards, and huggingface_hub's `ModelCardData`.
    """

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    base_model: list[str]
    base_model_relation: str = "quantized"
    quantized_by: str
    library_name: str = "transformers"
    pipeline_tag: str
    license: str | None
    license_name: str | None
    license_link: str | None
    language: list[str] | None
    tags: list[str]
    datasets: list[str] | None
    model_index: list[dict[str, Any]] | None = Field(serialization_alias="model-index")

    def to_yaml(self) -> str:
        """The text between the two lines of dashes."""
        values = self.model_dump(mode="json", by_alias=True, exclude_none=True)
        return yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=100)


def metadata(release: Release, base_card: BaseCard, hub_url: str) -> Metadata:
    """The metadata of a release; what describes the model is the base's.

    Args:
        release: the records and the recipe.
        base_card: what the base says of itself.
        hub_url: address of the Hub, for the link to the evidence.
    """
    plan, calibration = release.plan, release.recipe.calibration
    repos = [source.repo for source in (calibration.source, calibration.images) if source]
    return Metadata(
        base_model=[plan.base],
        quantized_by=plan.target.partition("/")[0],
        pipeline_tag=task_of(plan, base_card),
        license=base_card.license or plan.license or None,
        license_name=base_card.license_name,
        license_link=base_card.license_link,
        language=base_card.language,
        tags=list(TAGS),
        datasets=sorted({repo for repo in repos if repo}) or None,
        model_index=_index(release, hub_url),
    )


def task_of(plan: PlanRecord, base_card: BaseCard) -> str:
    """The Hub's name of what a model does; conditional generation takes images too."""
    if base_card.pipeline_tag:
        return base_card.pipeline_tag
    conditional = plan.architecture.endswith("ForConditionalGeneration")
    return "image-text-to-text" if conditional else "text-generation"


def _index(release: Release, hub_url: str) -> list[dict[str, Any]] | None:
    """The results, None where nothing was measured."""
    found = release.validate.metrics
    if found is None:
        return None
    name = release.plan.target.partition("/")[2]
    results = [_result(release, found, hub_url), *_task_results(release, hub_url)]
    return [{"name": name, "results": results}]


def _result(release: Release, found: Metrics, hub_url: str) -> dict[str, Any]:
    heldout = release.recipe.validation.heldout
    metrics = {
        "perplexity": ("Perplexity", found.perplexity),
        "base_perplexity": ("Perplexity of the base", found.base_perplexity),
        "perplexity_ratio": ("Perplexity over the base's", found.perplexity_ratio),
        "kl_divergence": (f"Mean KL divergence, top {found.k}, nats a token", found.mean_kl),
        "top1_agreement": ("Top-1 agreement with the base", found.top1_agreement),
    }
    return {
        "task": {"type": "text-generation", "name": "Text generation"},
        "dataset": {
            "type": heldout.repo or "heldout",
            "name": f"{found.texts} held-out texts, {found.tokens} tokens",
        },
        "metrics": [
            {"type": kind, "name": name, "value": value} for kind, (name, value) in metrics.items()
        ],
        "source": _source(release, hub_url),
    }


def _source(release: Release, hub_url: str) -> dict[str, str]:
    plan = release.plan
    return {
        "name": f"Roundhouse, {release.validate.engine}",
        "url": f"{hub_url}/{plan.target}/tree/{plan.release_id}/{EVIDENCE}",
    }


def _task_results(release: Release, hub_url: str) -> list[dict[str, Any]]:
    """An entry for each task that lm-eval scored."""
    sources = {task.name: task.source for task in release.recipe.validation.tasks}
    return [
        {
            "task": {"type": "text-generation", "name": "Text generation"},
            "dataset": {
                "type": sources[score.name].repo or "heldout",
                "name": f"{score.name}, {score.items} items",
            },
            "metrics": [
                {"type": score.kind, "name": SCORED[score.kind], "value": score.candidate},
                {
                    "type": f"base_{score.kind}",
                    "name": f"{SCORED[score.kind]} of the base",
                    "value": score.base,
                },
            ],
            "source": _source(release, hub_url),
        }
        for score in release.validate.tasks
    ]
