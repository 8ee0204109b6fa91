"""The watch list: strict, and checked with its recipes before anything is watched."""

from pathlib import Path

import pytest

from tasks.core.errors import InputError
from tasks.watch.watchlist import load_watch_list

WHOLE = """
bases:
  - {repo: acme/base, target: acme/base-NVFP4, recipe: demo, changes: {tuning.iters: 0}}
authors:
  - {author: acme, names: gemma-*, since: 2026-11-24, target: "ours/{name}-NVFP4", recipe: demo}
"""
SAME = "target: a/d, recipe: demo"


def load(folder: Path, text: str) -> None:
    path = folder / "watch.yaml"
    path.write_text(text)
    load_watch_list(path)


def test_a_whole_list_is_read(tmp_path: Path) -> None:
    """Entries, the recipe with its changes, and an author's model as an entry of its own."""
    path = tmp_path / "watch.yaml"
    path.write_text(WHOLE)
    found = load_watch_list(path)
    (base,), (author,) = found.bases, found.authors
    assert base.load().tuning.iters == 0
    assert base.choice() == {"recipe": "demo", "changes": {"tuning.iters": 0}}
    assert author.base("acme/gemma-5").target == "ours/gemma-5-NVFP4"
    assert found.is_target("ours/gemma-5-NVFP4")
    assert found.is_target("acme/base-NVFP4")
    assert not found.is_target("acme/base")


def test_a_recipe_file_travels_whole(tmp_path: Path) -> None:
    """A recipe of one's own is given to the release flow by its values, not by its path."""
    shipped = Path("tasks/core/recipes/demo.yaml").read_text()
    recipe = tmp_path / "own.yaml"
    recipe.write_text(shipped.replace("name: demo", "name: own"))
    path = tmp_path / "watch.yaml"
    path.write_text(f"bases: [{{repo: a/b, target: a/c, recipe: {recipe}}}]")
    (base,) = load_watch_list(path).bases
    choice = base.choice()
    assert choice["recipe"] == "custom"
    assert choice["custom_recipe"] == base.load().model_dump(mode="json")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("bases: [{repo: acme/base, target: a/b, recipe: demo, tragte: x}]", "tragte"),
        ("bases: [{repo: base, target: a/b, recipe: demo}]", "bases.0.repo"),
        ("bases: [{repo: acme/base, target: a/b}]", "bases.0.recipe"),
        ("bases: [{repo: a/b, target: a/b, recipe: demo}]", "a/b is base and target"),
        (
            f"bases: [{{repo: a/b, {SAME}}}, {{repo: a/c, {SAME}}}]",
            "two bases are released in a/d",
        ),
        ("authors: [{author: a, since: 2026-01-01, target: a/b, recipe: demo}]", "{name}"),
        ("authors: [{author: a, target: 'a/{name}', recipe: demo}]", "authors.0.since"),
        ("bases: [{repo: a/b, target: a/c, recipe: no-such}]", "there is no recipe no-such"),
        ("bases: [{repo: a/b, target: a/c, recipe: demo, changes: {tuning.itres: 1}}]", "itres"),
        ("bases: [", "is not plain YAML"),
        ("bases: []\nbases: []", "twice"),
        ("- a", "is not valid"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, told: str) -> None:
    """Unknown keys, impossible values and wrong recipes are refused by name."""
    with pytest.raises(InputError) as caught:
        load(tmp_path, text)
    assert told in str(caught.value)


def test_a_missing_list_says_where_to_write_it(tmp_path: Path) -> None:
    """Without a list the error names the place and the setting."""
    with pytest.raises(InputError, match="ROUNDHOUSE_WATCH_LIST"):
        load_watch_list(tmp_path / "watch.yaml")
