"""Recipes, names, data, archives and cards that somebody made to break us."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from flows.release import ARCHIVE, REPO
from tasks.clients.hub_files import HubFile
from tasks.clients.rows import read_rows
from tasks.core.archived import Manifest
from tasks.core.checkpoint import parse_header
from tasks.core.errors import IntegrityError, PermanentError, RecipeError
from tasks.core.manifest import FileRecord
from tasks.core.recipe import load_recipe, parse_recipe, shipped_recipes
from tasks.upload.base_card import BaseCard, read_base_card
from tasks.upload.card import render
from tasks.verify.sums import parse_sums
from tests.conftest import HubServer
from tests.finished_stages import finish_stages

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n"
    for a, b in zip("abcdefghi", "bcdefghij", strict=True)
)
"""Nine levels of nine: a billion words if anybody spells them out."""
SHIPPED = (Path(__file__).parents[2] / "tasks/core/recipes/demo.yaml").read_text()
RECIPES = {
    "a billion laughs": BOMB,
    "a billion laughs for a name": BOMB + "name: *j\n",
    "a list that holds itself": "name: &a [*a]\n",
    "a mapping that holds itself": "&a\nname: *a\n",
    "brackets": "[" * 50_000,
    "deep mappings": "{a: " * 20_000,
    "a Python object": "!!python/object/apply:os.system [touch /tmp/roundhouse-was-here]\n",
    "a Python name": "name: !!python/name:os.system\n",
    "a tag of its own": "name: !evil x\n",
    "no mapping": "- name\n",
    "nothing": "",
    "a number": "7",
    "zero bytes": "name: a\0b\n",
    "an unknown key": SHIPPED + "evil: true\n",
    "two documents": "name: a\n---\nname: b\n",
    "a number that is not one": SHIPPED + "group_size: .nan\n",
    "a list for a number": SHIPPED + "group_size: [16]\n",
    "a huge number": SHIPPED + f"max_shard_bytes: {'9' * 400}\n",
    "a key twice": SHIPPED + "name: other\n",
    "more than a person writes": SHIPPED + "# " + "x" * 300_000,
    "an unclosed quote": 'name: "a\n',
}


@pytest.mark.parametrize("name", RECIPES)
def test_a_hostile_recipe_is_refused(tmp_path: Path, name: str) -> None:
    """A RecipeError of a length that people read, in little time; nothing is run."""
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPES[name])
    with pytest.raises(RecipeError) as refused:
        load_recipe(str(path))
    assert len(str(refused.value)) < 5000
    assert not Path("/tmp/roundhouse-was-here").exists()  # noqa: S108 - what the recipe would make
    assert [p.name for p in tmp_path.iterdir()] == ["recipe.yaml"]


@pytest.mark.parametrize(
    "name", ["../demo", "/etc/passwd", "demo.yaml/../../x", "", ".", "recipe.py", "a" * 300]
)
def test_a_hostile_recipe_name_is_refused(name: str) -> None:
    """Only shipped names and YAML files are read."""
    with pytest.raises(RecipeError):
        load_recipe(name)


NAMES = [
    "", "a", "a/", "/a", "a/b/c", "../../etc/passwd", "..", "a/..b c", "a b/c", "a/b?x=1", "a/b#x",
    "a/b@main", "http://127.0.0.1/a/b", "a/b\n", "a/b\0", "a/" + "b" * 300, "a/b%2e%2e", "ä/ö;rm",
    "$(id)/x", "a/`id`", "-a/-b --",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_an_odd_repository_name_is_refused(hub_server: HubServer, name: str) -> None:
    """By the form, or by the client with an error of ours before or after the Hub is asked."""
    assert not re.search(REPO, name) or name.endswith("\n") or len(name) > 96
    hub = hub_server.hub()
    with pytest.raises(PermanentError):
        hub.resolve(name)
    with pytest.raises(PermanentError):
        hub.can_write(name)


@pytest.mark.parametrize("uri", ["s3://", "s3:///x", "/etc", "http://a/b", "s3://bucket", "x"])
def test_an_odd_archive_address_is_refused(uri: str) -> None:
    """The form takes a bucket and a path, or nothing."""
    assert not re.search(ARCHIVE, uri)


ROWS = {
    "no JSON": b"{",
    "brackets": b"[" * 200_000,
    "a list": b"[1]",
    "no text": b'{"x": 1}',
    "a text that is a number": b'{"text": 7}',
    "messages that are text": b'{"messages": "hello"}',
    "a message without a role": b'{"messages": [{"content": "hello"}]}',
    "a role that is a list": b'{"messages": [{"role": ["user"]}]}',
    "an image outside": b'{"text": "x", "image": "../../../etc/passwd"}',
    "an absolute image": b'{"text": "x", "image": "/etc/passwd"}',
    "no UTF-8": b'{"text": "\xff"}',
    "a huge integer": b'{"text": ' + b"9" * 5000 + b"}",
}


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_hostile_rows_are_refused(tmp_path: Path, name: str, kind: str) -> None:
    """A RecipeError that names file and line; a parquet file that is none likewise."""
    path = tmp_path / f"rows.{kind}"
    path.write_bytes(b'{"text": "good"}\n' + ROWS[name] + b"\n")
    with pytest.raises(RecipeError, match=r"rows\.") as refused:
        list(read_rows(path, "text"))
    assert len(str(refused.value)) < 1000


PATHS = [
    "a\0b",
    "a\nb",
    "../evil",
    "/etc/evil",
    "a/../../evil",
    "a\\..\\evil",
    "",
    ".",
    "a/b/../../../evil",
]


@pytest.mark.parametrize("path", PATHS)
def test_no_list_of_files_leads_outside(path: str) -> None:
    """Neither an archive's, nor a release's, nor the Hub's."""
    origin = dict.fromkeys(
        ("release_id", "base", "base_commit", "repo", "commit", "tag", "url"), "x"
    )
    file = {"path": path, "size": 1, "sha256": "0" * 64, "crc64nvme": "AAAAAAAAAAA="}
    manifest = json.dumps({"format": 1, "origin": origin, "files": [file]})
    with pytest.raises(IntegrityError):
        Manifest.parse(manifest.encode(), "x")
    with pytest.raises(IntegrityError):
        parse_sums(f"{'0' * 64}  {path}\n".encode())
    if ".." in path.split("/") or path.startswith("/") or not path.isprintable():
        with pytest.raises(IntegrityError):
            HubFile(path, 1, "", "0" * 40)


FRONTS = {
    "a billion laughs": BOMB + "license: *j\n",
    "a Python object": "license: !!python/object/apply:os.system [id]\n",
    "a list that holds itself": "license: &a [*a]\n",
    "brackets": "[" * 50_000,
    "lists for words": "license: [a]\nlanguage: {a: b}\n",
    "a number": "license: 7\n",
}


@pytest.mark.parametrize("name", FRONTS)
def test_a_hostile_base_card_says_nothing(tmp_path: Path, name: str) -> None:
    """A base's metadata that cannot be read is passed over: the card falls back on the plan."""
    card = f"---\n{FRONTS[name]}---\n# A base\n".encode()
    release = finish_stages(tmp_path, "acme/x", files={"download": {"README.md": card}})
    assert read_base_card(release.download) == BaseCard()
    assert "apache-2.0" in render(release, "https://hub.example", "0" * 64)


MARKUP = {
    "script": "<script>alert(1)</script>",
    "image": "![x](https://evil.example/pixel)",
    "link": "[click](javascript:alert(1))",
    "heading": "x\n\n# Not the title",
    "table": "a | b | c\n|---|",
    "fence": "```\nrm -rf /\n```",
    "front matter": "x\n---\nlicense: mit\n---\n",
    "html comment": "<!-- x",
    "direction": "\u202eevil\u202c",
}


@pytest.mark.parametrize("name", MARKUP)
def test_markup_in_a_licence_stays_text(tmp_path: Path, name: str) -> None:
    """What a base's card says stands on ours as text: no tag, link, row or heading more."""
    front = yaml.safe_dump({"license": "other", "license_name": MARKUP[name]})
    pages: list[str] = []
    for text in (front, "license: other\nlicense_name: plain\n"):
        files = {"download": {"README.md": f"---\n{text}---\n".encode()}}
        release = finish_stages(tmp_path / str(len(pages)), "acme/x", files=files)
        card = render(release, "https://hub.example", "0" * 64)
        front_end = card.index("\n---\n", 4)
        assert yaml.safe_load(card[4:front_end])["license"] == "other"
        pages.append(
            MarkdownIt("commonmark", {"html": True}).enable("table").render(card[front_end + 5 :])
        )
    for tag in ("<script", "<img", "<a ", "<h1", "<h2", "<tr", "<pre", "<!--", "<hr", "\u202e"):
        assert pages[0].count(tag) == pages[1].count(tag), tag


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(
        st.sampled_from(
            ["dtype", "shape", "data_offsets", "__metadata__", "format", "origin", "files", "path",
             "name", "scheme", "tuning", "calibration", "source", "validation", "keep"]
        ) | st.text(max_size=4),
        inner,
        max_size=4,
    ),
    max_leaves=16,
)  # fmt: skip


@given(JSON, st.integers(0, 64))
def test_no_header_breaks_the_reader(value: Any, data_bytes: int) -> None:
    """Any JSON as a safetensors header: tensors that cover the data once, or IntegrityError."""
    raw = json.dumps(value).encode()
    try:
        tensors = parse_header(raw, data_bytes, Path("x"))
    except IntegrityError:
        return
    assert sum(tensor.end - tensor.begin for tensor in tensors.values()) == data_bytes


@given(st.binary(max_size=200))
def test_no_bytes_break_the_readers(data: bytes) -> None:
    """Headers, manifests and lists of digests of any bytes: a value, or IntegrityError."""
    for read in (
        lambda: parse_header(data, 0, Path("x")),
        lambda: Manifest.parse(data, "x"),
        lambda: parse_sums(data),
    ):
        try:
            read()
        except IntegrityError:
            continue


@given(JSON)
def test_no_value_breaks_recipes_or_manifests(value: Any) -> None:
    """Any JSON as a recipe or a manifest: refused as what it is."""
    with pytest.raises(RecipeError):
        parse_recipe(value, "x")
    with pytest.raises(IntegrityError):
        Manifest.parse(json.dumps(value).encode(), "x")


@given(st.text(max_size=40))
def test_every_recorded_path_stays_inside(text: str) -> None:
    """Whatever a path is, a record of it lies below its folder, or there is no record."""
    try:
        record = FileRecord(path=text, size=0, sha256="0" * 64)
    except ValueError:
        return
    folder = Path("/srv/release")
    assert (folder / record.path).resolve().is_relative_to(folder)


def test_what_ships_is_not_hostile() -> None:
    """The recipes that the hostile ones are changed from are sound."""
    assert [load_recipe(name).name for name in shipped_recipes()]
    assert parse_recipe(yaml.safe_load(SHIPPED), "x").name == "demo"
