"""The model card, told from the records alone: no figure stands in the template."""

import json
from typing import Any

from markupsafe import Markup

from tasks.core.recipe import Source
from tasks.upload.base_card import read_base_card
from tasks.upload.markup import environment
from tasks.upload.metadata import metadata
from tasks.upload.sources import EVIDENCE, PROVENANCE, RECIPE, SUMS, Sources

TEMPLATE = "card.md.jinja"
PARSERS = {"Gemma4": "gemma4"}
"""vLLM's reasoning and tool parser, by how the architecture's name begins."""
NUMERICS = {
    "W4A4 native": "weights and activations are multiplied as 4-bit floats by the accelerator.",
    "W4A4 emulated": "both are rounded to 4 bits and multiplied in higher precision, so that "
    "accuracy is that of 4-bit hardware and speed is not.",
    "W4A16": "weights are 4-bit and activations are not rounded, so that the accuracy of 4-bit "
    "activations was not measured.",
}
SHAPE = (
    "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
    "num_key_value_heads", "head_dim", "global_head_dim", "sliding_window", "vocab_size",
    "max_position_embeddings",
)  # fmt: skip


def render(sources: Sources, hub_url: str) -> str:
    """README.md of a release.

    Args:
        sources: the records and the recipe.
        hub_url: address of the Hub, for links.

    Raises:
        InputError: a record's value cannot stand in a shell command.
    """
    page = environment().get_template(TEMPLATE)
    return page.render(**_values(sources, hub_url))


def _values(sources: Sources, hub_url: str) -> dict[str, Any]:
    base_card = read_base_card(sources.download)
    front = metadata(sources, base_card, hub_url)
    recipe, plan = sources.recipe, sources.plan
    return {
        "front": Markup(front.to_yaml()),  # noqa: S704 - YAML above the page, not part of it
        "name": plan.target.partition("/")[2],
        "base_url": f"{hub_url}/{plan.base}",
        "plan": plan,
        "calibrate": sources.calibrate,
        "quantize": sources.quantize,
        "convert": sources.convert,
        "validate": sources.validate,
        "metrics": sources.validate.metrics,
        "recipe": recipe,
        "serving": recipe.validation.serving,
        "limits": recipe.validation.limits,
        "numerics": NUMERICS[sources.validate.numerics],
        "base_bytes": sum(file.size for file in sources.base_weights),
        "architecture": _architecture(sources),
        "parser": next((p for k, p in PARSERS.items() if plan.architecture.startswith(k)), ""),
        "images": front.pipeline_tag == "image-text-to-text",
        "parameters": _parameters(sources),
        "data": list(_data(sources)),
        "evidence": ", ".join(f"{EVIDENCE}/{file.path}" for file in sources.evidence),
        "sums": SUMS,
        "provenance": PROVENANCE,
        "recipe_file": RECIPE,
        "licence": front.license,
        "licence_name": front.license_name,
        "licence_link": front.license_link,
    }


def _architecture(sources: Sources) -> list[tuple[str, str, object]]:
    """The model's shape from the release's config.json: part, setting, value."""
    path = sources.convert.path / "config.json"
    config = json.loads(path.read_bytes()) if path.is_file() else {}
    parts = {"text": config.get("text_config", config), "vision": config.get("vision_config")}
    return [
        (part, setting, values[setting])
        for part, values in parts.items()
        if isinstance(values, dict)
        for setting in SHAPE
        if isinstance(values.get(setting), int)
    ]


def _parameters(sources: Sources) -> list[tuple[str, object]]:
    recipe = sources.recipe
    tuning, calibration = recipe.tuning, recipe.calibration
    return [
        ("recipe", recipe.name),
        ("recipe digest", recipe.digest),
        ("scheme", recipe.scheme),
        ("group size", recipe.group_size),
        ("tuner", sources.quantize.tuner),
        ("iterations a block", tuning.iters),
        ("batch size", tuning.batch_size),
        ("learning rate", tuning.learning_rate or "1 / iterations"),
        ("tuning seed", tuning.seed),
        ("samples", calibration.nsamples),
        ("tokens a sample", calibration.seqlen),
        ("samples with an image", calibration.image_samples),
        ("shuffle seed", calibration.seed),
        ("kept as they are", ", ".join(recipe.keep)),
    ]


def _data(sources: Sources) -> list[tuple[str, Source, str]]:
    """Place in the recipe, source and digest of all data."""
    recipe, digests = sources.recipe, sources.plan.sources
    places = {
        "calibration.source": recipe.calibration.source,
        "calibration.images": recipe.calibration.images,
        "validation.heldout": recipe.validation.heldout,
    }
    return [(place, source, digests.get(place, "")) for place, source in places.items() if source]
