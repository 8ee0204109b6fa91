"""The YAML on top of a model card, as the Hub reads it."""

from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field

from tasks.upload.base_card import BaseCard
from tasks.upload.sources import EVIDENCE, Sources

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
    model_index: list[dict[str, Any]] = Field(serialization_alias="model-index")

    def to_yaml(self) -> str:
        """The text between the two lines of dashes."""
        values = self.model_dump(mode="json", by_alias=True, exclude_none=True)
        return yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=100)


def metadata(sources: Sources, base_card: BaseCard, hub_url: str) -> Metadata:
    """The metadata of a release; what describes the model is the base's.

    Args:
        sources: the records and the recipe.
        base_card: what the base says of itself.
        hub_url: address of the Hub, for the link to the evidence.
    """
    plan, calibration = sources.plan, sources.recipe.calibration
    repos = [source.repo for source in (calibration.source, calibration.images) if source]
    return Metadata(
        base_model=[plan.base],
        quantized_by=plan.target.partition("/")[0],
        pipeline_tag=base_card.pipeline_tag or _task(plan.architecture),
        license=base_card.license or plan.license or None,
        license_name=base_card.license_name,
        license_link=base_card.license_link,
        language=base_card.language,
        tags=list(TAGS),
        datasets=sorted({repo for repo in repos if repo}) or None,
        model_index=[
            {"name": plan.target.partition("/")[2], "results": [_result(sources, hub_url)]}
        ],
    )


def _task(architecture: str) -> str:
    """The Hub's name of what such a model does; conditional generation takes images too."""
    conditional = architecture.endswith("ForConditionalGeneration")
    return "image-text-to-text" if conditional else "text-generation"


def _result(sources: Sources, hub_url: str) -> dict[str, Any]:
    plan, heldout, found = sources.plan, sources.recipe.validation.heldout, sources.validate.metrics
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
        "source": {
            "name": f"Roundhouse, {sources.validate.engine}",
            "url": f"{hub_url}/{plan.target}/tree/{plan.release_id}/{EVIDENCE}",
        },
    }
