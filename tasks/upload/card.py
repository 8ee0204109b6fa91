"""The model card, told from the records alone: no figure stands in the template."""

import json
from typing import Any

from markupsafe import Markup

from tasks.core.gate_records import Measure
from tasks.core.published import BOM, EVIDENCE, PROVENANCE, RECIPE, SIGNATURE, SUMS
from tasks.core.recipe_source import Source
from tasks.core.records import Release
from tasks.upload.base_card import read_base_card
from tasks.upload.markup import environment
from tasks.upload.metadata import metadata

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


def render(release: Release, hub_url: str, key: str) -> str:
    """README.md of a release.

    Args:
        release: the records and the recipe.
        hub_url: address of the Hub, for links.
        key: fingerprint of the key that signs the release.

    Raises:
        InputError: a record's value cannot stand in a shell command.
    """
    page = environment().get_template(TEMPLATE)
    return page.render(**_values(release, hub_url), key=key)


def _values(release: Release, hub_url: str) -> dict[str, Any]:
    base_card = read_base_card(release.download)
    front = metadata(release, base_card, hub_url)
    recipe, plan = release.recipe, release.plan
    return {
        "front": Markup(front.to_yaml()),  # noqa: S704 - YAML above the page, not part of it
        "name": plan.target.partition("/")[2],
        "base_url": f"{hub_url}/{plan.base}",
        "plan": plan,
        "calibrate": release.calibrate,
        "quantize": release.quantize,
        "convert": release.convert,
        "validate": release.validate,
        "metrics": release.validate.metrics,
        "lossless": _lossless,
        "recovery": _recovery,
        "recipe": recipe,
        "serving": recipe.validation.serving,
        "limits": recipe.validation.limits,
        "numerics": NUMERICS.get(release.validate.numerics or "", ""),
        "base_bytes": sum(file.size for file in release.base_weights),
        "architecture": _architecture(release),
        "parser": next((p for k, p in PARSERS.items() if plan.architecture.startswith(k)), ""),
        "images": front.pipeline_tag == "image-text-to-text",
        "parameters": _parameters(release),
        "data": list(_data(release)),
        "evidence": ", ".join(f"{EVIDENCE}/{file.path}" for file in release.evidence),
        "sums": SUMS,
        "signature": SIGNATURE,
        "bom": BOM,
        "provenance": PROVENANCE,
        "recipe_file": RECIPE,
        "licence": front.license,
        "licence_name": front.license_name,
        "licence_link": front.license_link,
    }


def _lossless(measure: Measure) -> str:
    """What the base shows against itself: nothing differs, everything agrees."""
    return "1" if measure.direction == "at least" or "ratio" in measure.name else "0"


def _recovery(measure: Measure) -> str:
    """Share of what the base shows; empty for a measure of distance, which has none."""
    if measure.direction == "at least":
        return f"{100 * measure.value:.1f} %"
    return f"{100 / measure.value:.1f} %" if "ratio" in measure.name else ""


def _architecture(release: Release) -> list[tuple[str, str, object]]:
    """The model's shape from the release's config.json: part, setting, value."""
    path = release.convert.path / "config.json"
    config = json.loads(path.read_bytes()) if path.is_file() else {}
    parts = {"text": config.get("text_config", config), "vision": config.get("vision_config")}
    return [
        (part, setting, values[setting])
        for part, values in parts.items()
        if isinstance(values, dict)
        for setting in SHAPE
        if isinstance(values.get(setting), int)
    ]


def _parameters(release: Release) -> list[tuple[str, object]]:
    recipe = release.recipe
    tuning, calibration = recipe.tuning, recipe.calibration
    return [
        ("recipe", recipe.name),
        ("recipe digest", recipe.digest),
        ("scheme", recipe.scheme),
        ("group size", recipe.group_size),
        ("tuner", release.quantize.tuner),
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


def _data(release: Release) -> list[tuple[str, Source, str]]:
    """Place in the recipe, source and digest of all data."""
    recipe, digests = release.recipe, release.plan.sources
    places = {
        "calibration.source": recipe.calibration.source,
        "calibration.images": recipe.calibration.images,
        **recipe.validation.sources,
    }
    return [(place, source, digests.get(place, "")) for place, source in places.items() if source]
