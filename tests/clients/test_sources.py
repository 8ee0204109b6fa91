"""Data sources on this machine and on the Hub."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from tasks.clients.hub import Hub
from tasks.clients.rows import read_rows
from tasks.clients.sources import load_rows, resolve_source
from tasks.core.errors import IntegrityError, RecipeError
from tasks.core.recipe_source import Source
from tests.conftest import HubServer

NO_HUB = Hub("http://127.0.0.1:9")
TEXTS: list[dict[str, Any]] = [
    {"text": "one"},
    {"text": "two"},
    {"messages": [{"role": "user", "content": "three"}]},
]
PNG = b"\x89PNG stand-in"


def jsonl(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def load(source: Source, hub: Hub, cache: Path) -> list[dict[str, Any]]:
    return load_rows(source, hub, cache, resolve_source(source, hub).digest)


@given(
    rows=st.lists(
        st.dictionaries(st.text(min_size=1), st.text() | st.integers()).map(
            lambda row: (
                {k: v for k, v in row.items() if k not in {"image", "messages"}}
                | {"text": str(row)}
            )
        ),
        max_size=5,
    )
)
def test_what_was_written_is_read(tmp_path_factory: pytest.TempPathFactory, rows: Any) -> None:
    """Any rows, written as JSONL with blank lines between, come back in order."""
    path = tmp_path_factory.mktemp("rows") / "a.jsonl"
    path.write_bytes(jsonl(rows).replace(b"\n", b"\n\n"))
    assert list(read_rows(path, "text")) == rows


def test_parquet_and_jsonl_hold_the_same_rows(tmp_path: Path) -> None:
    """The two formats give equal rows; a text under another key is called text."""
    rows = [{"body": f"text {n}", "n": n} for n in range(3000)]
    (tmp_path / "a.jsonl").write_bytes(jsonl(rows))
    parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet", row_group_size=700)
    found = {
        kind: load(Source(files=str(tmp_path / f"*.{kind}"), text="body"), NO_HUB, tmp_path)
        for kind in ("jsonl", "parquet")
    }
    assert found["jsonl"] == found["parquet"]
    assert found["jsonl"][2999] == {"text": "text 2999", "n": 2999}


def test_a_local_digest_follows_the_bytes(tmp_path: Path) -> None:
    """The digest changes with a row and with an image's pixels, and with nothing else."""
    data, image = tmp_path / "a.jsonl", tmp_path / "images" / "1.png"
    image.parent.mkdir()
    image.write_bytes(PNG)
    data.write_bytes(jsonl([*TEXTS, {"text": "look", "image": "images/1.png"}]))
    source = Source(files=str(tmp_path / "*.jsonl"))
    first = resolve_source(source, NO_HUB)
    (tmp_path / "notes.txt").write_text("not data")
    assert resolve_source(source, NO_HUB) == first
    assert load_rows(source, NO_HUB, tmp_path, first.digest)[-1]["image"] == image
    image.write_bytes(PNG + b"!")
    second = resolve_source(source, NO_HUB)
    data.write_bytes(data.read_bytes() + jsonl([{"text": "four"}]))
    assert len({first.digest, second.digest, resolve_source(source, NO_HUB).digest}) == 3
    with pytest.raises(IntegrityError, match="plan again"):
        load_rows(source, NO_HUB, tmp_path, first.digest)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{"text": "one"}\n{"text": \n', r"a\.jsonl, line 2 is not JSON"),
        (b'{"text": "one"}\n[1]\n', r"a\.jsonl, line 2 is no row"),
        (b'{"content": "one"}\n', r"a\.jsonl, line 1 has neither a text nor a chat"),
        (b'{"messages": []}\n', r"line 1 has neither"),
        (b'{"messages": [{"content": "no role"}]}\n', r"line 1 has neither"),
        (b'{"text": "x", "image": "../secret.png"}\n', r"outside the data's folder"),
        (b'{"text": "x", "image": "/etc/hostname"}\n', r"outside the data's folder"),
        (b'{"text": "x", "image": "gone.png"}\n', r"gone\.png that a row names is missing"),
    ],
)
def test_a_bad_row_is_named_by_its_line(tmp_path: Path, content: bytes, said: str) -> None:
    """Each kind of bad row is a RecipeError that says where it is."""
    (tmp_path / "a.jsonl").write_bytes(content)
    with pytest.raises(RecipeError, match=said):
        load(Source(files=str(tmp_path / "a.jsonl")), NO_HUB, tmp_path)


def test_a_glob_that_matches_nothing_says_what_is_there(
    hub_server: HubServer, tmp_path: Path
) -> None:
    """Here and on the Hub; on the Hub the message lists the dataset's files."""
    with pytest.raises(RecipeError, match="no data file matches"):
        resolve_source(Source(files=str(tmp_path / "*.jsonl")), NO_HUB)
    hub_server.seed("acme/data-glob", {"train.jsonl": jsonl(TEXTS)}, "dataset")
    source = Source(repo="acme/data-glob", files="data/*.parquet")
    with pytest.raises(RecipeError, match=r"train\.jsonl"):
        resolve_source(source, hub_server.hub())


def test_a_file_that_is_no_parquet_is_refused(tmp_path: Path) -> None:
    """Bytes that are not parquet are a RecipeError with the file's name."""
    (tmp_path / "a.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(RecipeError, match=r"a\.parquet is not a parquet file"):
        load(Source(files=str(tmp_path / "a.parquet")), NO_HUB, tmp_path)


def test_a_hub_source_is_pinned_to_its_commit(hub_server: HubServer, tmp_path: Path) -> None:
    """Rows and images of the planned commit come back after the dataset has moved on."""
    hub = hub_server.hub()
    rows = [*TEXTS, {"text": "look", "image": "images/1.png"}]
    files = {"sub/a.jsonl": jsonl(rows), "sub/images/1.png": PNG}
    commit = hub_server.seed("acme/data", files, "dataset")
    source = Source(repo="acme/data", files="sub/*.jsonl")
    pinned = resolve_source(source, hub)
    assert pinned.digest.startswith(f"commit:{commit}:")
    hub_server.seed("acme/data", {"sub/a.jsonl": jsonl(TEXTS[:1])}, "dataset")
    assert resolve_source(source, hub).digest != pinned.digest
    found = load_rows(source, hub, tmp_path, pinned.digest)
    assert [row.get("text") for row in found] == ["one", "two", None, "look"]
    assert found[-1]["image"].read_bytes() == PNG
    with pytest.raises(IntegrityError, match="plan again"):
        load_rows(source, hub, tmp_path, f"commit:{commit}:0000")


def test_an_image_that_the_dataset_lacks_is_named(hub_server: HubServer, tmp_path: Path) -> None:
    """A row whose image is not in the repository is a RecipeError with the image's path."""
    row = {"text": "look", "image": "1.png"}
    hub_server.seed("acme/data-image", {"a.jsonl": jsonl([row])}, "dataset")
    with pytest.raises(RecipeError, match=r"lacks the image 1\.png"):
        load(Source(repo="acme/data-image", files="*.jsonl"), hub_server.hub(), tmp_path)
