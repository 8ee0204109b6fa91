"""One bit of any published file flipped: `roundhouse verify` names the file and exits with 1."""

import json
from pathlib import Path

import pytest
from huggingface_hub import CommitOperationAdd

from tasks.clients.s3_objects import Address
from tasks.core.archived import CHECKPOINT, MANIFEST
from tasks.core.manifest import relative_files
from tasks.core.published import BOM, CARD, CHANGELOG, PROVENANCE, RECIPE, SIGNATURE, SUMS
from tests.command import roundhouse_here
from tests.finished_stages import FILES
from tests.verify.conftest import WHOLE, House, Published
from tests.verify.flip import flipped

DOCUMENTS = {BOM, CARD, CHANGELOG, PROVENANCE, RECIPE, SIGNATURE, SUMS}
PUBLISHED = {*FILES["convert"], *WHOLE["convert"], *DOCUMENTS}
"""Two shards, index, configs, tokenizer, chat template, processors; card, documents, signature."""


def said(house: House, address: str, *options: str) -> tuple[int, list[str]]:
    """Exit status of the command, and the files that it names."""
    done = roundhouse_here("verify", address, "--json", *options, **house.env)
    return done.status, [problem["path"] for problem in json.loads(done.out)["problems"]]


def test_any_flipped_file_of_a_folder_is_named(
    house: House, published: Published, tmp_path: Path
) -> None:
    """A bit of each file in turn, of its first and its last byte too; and each file lost."""
    api, tag = house.hub_server.api(), published.upload.tag
    folder = Path(api.snapshot_download(published.repo, revision=tag, local_dir=tmp_path / "it"))
    paths = {path for path in relative_files(folder) if not path.startswith(".cache/")}
    paths.discard(".gitattributes")
    assert paths >= PUBLISHED
    for path in sorted(paths):
        file, whole = folder / path, (folder / path).read_bytes()
        first = bytes([whole[0] ^ 1]) + whole[1:]
        last = whole[:-1] + bytes([whole[-1] ^ 1])
        for data in (flipped(path, whole), first, last):
            file.write_bytes(data)
            assert said(house, str(folder)) == (1, [path])
        file.unlink()
        status, named = said(house, str(folder))
        assert (status, path in named) == (1, True)
        file.write_bytes(whole)
    assert said(house, str(folder)) == (0, [])


def test_any_flipped_file_on_the_hub_is_named(house: House, published: Published) -> None:
    """By commits of somebody who may write there; no weights are downloaded for it."""
    hub, repo = house.hub_server.hub(), published.repo
    paths = set(house.hub_server.api().list_repo_files(repo)) - {".gitattributes"}
    assert paths >= PUBLISHED
    for path in sorted(paths):
        whole = hub.read_small(repo, "main", path)
        made = _commit(house, repo, path, flipped(path, whole))
        before = len(house.hub_server.requests())
        assert said(house, f"hub:{repo}@{made}") == (1, [path])
        asked = [p for _, p, _ in house.hub_server.requests()[before:]]
        assert not [p for p in asked if p.endswith(".safetensors")]
        _commit(house, repo, path, whole)
    assert said(house, f"hub:{repo}") == (0, [])


def _commit(house: House, repo: str, path: str, data: bytes) -> str:
    change = [CommitOperationAdd(path, data)]
    return str(house.hub_server.api().create_commit(repo, change, commit_message="x").oid)


@pytest.mark.parametrize("options", [(), ("--deep",)])
def test_any_flipped_object_is_named(
    house: House, published: Published, options: tuple[str, ...]
) -> None:
    """In S3, of everything that is archived, the manifest among it."""
    store, client, uri = house.s3_server.store(), house.s3_server.client(), published.archive.uri
    at, paths = Address.parse(uri), {path for path, _ in store.list(uri)}
    assert paths >= {MANIFEST} | {f"{CHECKPOINT}{path}" for path in PUBLISHED}
    for path in sorted(paths):
        whole = store.read(f"{uri}/{path}")
        put = {"Bucket": at.bucket, "Key": f"{at.key}/{path}", "ChecksumAlgorithm": "CRC64NVME"}
        client.put_object(Body=flipped(path, whole), **put)  # type: ignore[arg-type]
        status, named = said(house, uri, *options)
        assert (status, path in named) == (1, True)
        assert path == MANIFEST or named == [path]
        client.put_object(Body=whole, **put)  # type: ignore[arg-type]
    assert said(house, uri, *options) == (0, [])
