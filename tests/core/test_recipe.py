"""Recipes: strict, and named by everything that shapes a release."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tasks.core.errors import RecipeError
from tasks.core.recipe import (
    SHIPPED,
    Recipe,
    load_recipe,
    parse_recipe,
    release_id,
    shipped_recipes,
)

VALUES: dict[str, Any] = yaml.safe_load((SHIPPED / "demo.yaml").read_text())


@pytest.mark.parametrize("name", shipped_recipes())
def test_shipped_recipes_load_and_bear_their_files_name(name: str) -> None:
    """Every shipped recipe is valid, and is called what its file is called."""
    assert load_recipe(name).name == name


def test_the_reference_recipe_is_the_reference_release() -> None:
    """The reference: 64 samples of 512 tokens, 200 steps, groups of 16, shards below 5 GB."""
    recipe = load_recipe("gemma-4-31b-it-nvfp4")
    calibration, tuning = recipe.calibration, recipe.tuning
    assert (calibration.nsamples, calibration.seqlen, tuning.iters) == (64, 512, 200)
    assert recipe.group_size == 16
    assert recipe.max_shard_bytes < 5_000_000_000
    kept = (
        "lm_head",
        "model.vision_tower.encoder.layers.0.mlp.up_proj.linear",
        "model.embed_vision.embedding_projection",
        "model.language_model.embed_tokens",
    )
    assert all(recipe.keeps(module) for module in kept)
    assert not recipe.keeps("model.language_model.layers.0.mlp.up_proj")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("tuning.itres", 50),
        ("group_size", 32),
        ("scheme", "INT4"),
        ("keep", ["("]),
        ("name", "../up"),
        ("calibration.image_samples", 33),
        ("calibration.images", None),
        ("calibration.source.repo", "a/b/c"),
        ("validation.limits.mean_kl", float("inf")),
        ("validation.limits.mean_kl", float("nan")),
        ("validation.limits.perplexity_ratio", float("inf")),
        ("validation.canaries", ["sing"]),
        ("max_shard_bytes", 6_000_000_000),
    ],
)
def test_a_bad_value_is_refused_by_name(key: str, value: object) -> None:
    """An unknown key or an impossible value is an error whose text has the key."""
    with pytest.raises(RecipeError) as refused:
        load_recipe("demo", {key: value})
    named = "calibration" if key.startswith("calibration.image") else key
    assert named in str(refused.value)


def test_overrides_change_single_values() -> None:
    """A dotted key changes its value and leaves its neighbours."""
    recipe = load_recipe("demo", {"tuning.iters": 3, "validation.serving.max_num_seqs": 2})
    assert (recipe.tuning.iters, recipe.tuning.seed) == (3, 42)
    assert recipe.validation.serving.max_num_seqs == 2


def test_an_override_through_a_single_value_is_refused() -> None:
    """A dotted key cannot reach into a number."""
    with pytest.raises(RecipeError, match=r"cannot set group_size\.x"):
        load_recipe("demo", {"group_size.x": 1})


@pytest.mark.parametrize("text", [": :", "- a", "5", "\x00", "", "name: [1"])
def test_a_file_that_is_no_recipe_is_refused(tmp_path: Path, text: str) -> None:
    """What is not YAML, or not a mapping, is a recipe error and not a traceback."""
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(RecipeError):
        load_recipe(str(path))


def test_a_name_that_is_no_recipe_lists_those_there_are() -> None:
    """A misspelt name is answered with the right ones."""
    with pytest.raises(RecipeError, match="demo, gemma-4-31b-it-nvfp4, light"):
        load_recipe("dmeo")


def _leaves(values: dict[str, Any], prefix: str = "") -> list[str]:
    return [
        leaf
        for key, value in values.items()
        for leaf in (
            _leaves(value, f"{prefix}{key}.") if isinstance(value, dict) else [f"{prefix}{key}"]
        )
    ]


def _changed(recipe: dict[str, Any], dotted: str) -> dict[str, Any]:
    head, _, rest = dotted.partition(".")
    old = recipe[head]
    if rest:
        return {**recipe, head: _changed(old, rest)}
    return {**recipe, head: _other(old)}


def _other(old: object) -> object:
    match old:
        case bool():
            return not old
        case float() if old <= 1:
            return old / 2
        case int() | float():
            return old + 1
        case list() | tuple():
            return list(old)[:-1]
        case None:
            return 0.25
        case _:
            return f"{old}x"


def test_every_value_shapes_the_digest_but_the_description() -> None:
    """Change any value of a recipe and its digest changes; only the description is prose."""
    recipe = load_recipe("demo")
    values = recipe.model_dump(mode="json")
    fixed = {"scheme", "group_size", "tuning.tuner"}
    for leaf in _leaves(values):
        if leaf in fixed:
            continue
        changed = parse_recipe(_changed(values, leaf), source="changed")
        assert (changed.digest == recipe.digest) is (leaf == "description"), leaf


@pytest.mark.parametrize(
    ("key", "value"),
    [("validation.profile", "lint-only"), ("tuning.gradient_precision", "fp8")],
)
def test_a_later_key_counts_once_it_is_named(key: str, value: str) -> None:
    """At its default it is absent from JSON and digest, as before it existed; else it counts."""
    plain, other = load_recipe("demo"), load_recipe("demo", {key: value})
    part, _, leaf = key.partition(".")
    assert leaf not in plain.model_dump(mode="json")[part]
    assert other.digest != plain.digest
    assert parse_recipe(other.model_dump(mode="json"), source="again") == other


def test_plain_rounding_takes_no_steps() -> None:
    """The tuner rtn with steps is a contradiction, and refused as one."""
    with pytest.raises(RecipeError, match="set iters to 0"):
        load_recipe("demo", {"tuning.tuner": "rtn"})
    assert load_recipe("light").tuning.tuner == "rtn"


def test_a_recipe_survives_json() -> None:
    """A recipe crosses to a worker as JSON and is the same recipe."""
    recipe = load_recipe("demo")
    again = Recipe.model_validate_json(recipe.model_dump_json())
    assert again == recipe
    assert again.digest == recipe.digest


def test_a_release_is_named_by_all_it_is_made_of() -> None:
    """Another commit, recipe, data set or tool gives another release id."""
    recipe = load_recipe("demo")
    parts: dict[str, Any] = {
        "commit": "c" * 40, "recipe": recipe, "sources": {"a": "1"}, "versions": {"t": "1"},
    }  # fmt: skip
    others = {
        "commit": "c" * 8 + "d" * 32, "recipe": load_recipe("demo", {"tuning.iters": 3}),
        "sources": {"a": "2"}, "versions": {"t": "2"},
    }  # fmt: skip
    ids = {release_id(**{**parts, key: value}) for key, value in others.items()}
    ids.add(release_id(**parts))
    assert len(ids) == 5
    assert release_id(**parts) == release_id(**parts)
    assert release_id(**parts).startswith(f"demo-{'c' * 8}-")


@pytest.mark.parametrize("limit", ["task_loss", "tasks_loss"])
def test_a_limit_of_nothing_is_a_limit(limit: str) -> None:
    """A recipe that allows no loss still says so when it reaches a stage on another worker."""
    recipe = load_recipe("demo", {f"validation.limits.{limit}": 0})
    there = Recipe.model_validate(recipe.model_dump(mode="json"))
    assert there == recipe
    assert getattr(there.validation.limits, limit) == 0
    assert recipe.digest != load_recipe("demo", {f"validation.limits.{limit}": None}).digest
