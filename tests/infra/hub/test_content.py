"""Files as they travel: byte for byte, by range, under git's ids."""

import hashlib
import os
import subprocess
from collections import Counter
from pathlib import Path

import httpx
import numpy as np
import pytest
from huggingface_hub import CommitOperationCopy, CommitOperationDelete
from safetensors.numpy import save

from tests.infra.hub.case import ALICE, CARD, Server, commit, read_tree, write_tree

# the client's own call of its HTTP library, on every plain upload
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


def test_folder_comes_back_byte_for_byte(server: Server, repo: str, tmp_path: Path) -> None:
    """What upload_folder sends, snapshot_download returns, whichever way each file travels."""
    rng = np.random.default_rng(7)
    files = {"README.md": CARD, "empty": b"", "a folder/ü +%23.txt": b"name", "a/b/c.json": b"{}"}
    files |= {"parts.safetensors": rng.bytes(250_000), "whole.safetensors": rng.bytes(60_000)}
    files |= {"again.bin": files["parts.safetensors"], "large.txt": b"x" * 90_000}
    api = server.api()
    api.upload_folder(repo_id=repo, folder_path=write_tree(tmp_path / "up", files))
    down = Path(api.snapshot_download(repo, local_dir=tmp_path / "down"))
    received = read_tree(down)
    assert received.pop(".gitattributes")
    assert received == files
    kinds = Counter(
        row["path"].split("/")[2] for row in server.requests() if "/_lfs/" in row["path"]
    )
    assert kinds["part"] >= 7
    assert kinds["upload"] >= 2
    stored = Counter(hashlib.sha256(path.read_bytes()).hexdigest() for path in server.blobs())
    assert stored[hashlib.sha256(files["again.bin"]).hexdigest()] == 1


def test_ids_are_what_git_computes(server: Server, repo: str, tmp_path: Path) -> None:
    """Blob, folder and commit ids equal those of the git program for the same content."""
    files = {"a.txt": b"1", "a/x.txt": b"2", "a/b/y.txt": b"3", "a-b.txt": b"4"}
    api = server.api()
    commit(api, repo, files)
    entries = {entry.path: entry for entry in api.list_repo_tree(repo, recursive=True)}
    clone = write_tree(tmp_path / "clone", files)

    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=clone, capture_output=True, check=True)
        return done.stdout.decode().strip()

    git("init", "--quiet")
    git("add", ".")
    tree = git("write-tree")
    for path in files:
        assert getattr(entries[path], "blob_id", None) == git("rev-parse", f"{tree}:{path}")
    for path in ("a", "a/b"):
        assert getattr(entries[path], "tree_id", None) == git("rev-parse", f"{tree}:{path}")


def test_header_is_read_by_range(server: Server, repo: str) -> None:
    """get_safetensors_metadata reads a header through the redirect, and so does a raw Range."""
    tensors = {"w": np.zeros((100, 200), np.float32), "b": np.ones(3, np.float32)}
    content = save(tensors)
    commit(server.api(), repo, {"model.safetensors": content})
    metadata = server.api().get_safetensors_metadata(repo)
    assert metadata.parameter_count == {"F32": 20_003}
    url = f"{server.url}/{repo}/resolve/main/model.safetensors"
    redirect = httpx.head(url)
    assert redirect.status_code == 302
    assert redirect.headers["x-linked-size"] == str(len(content))
    assert httpx.URL(redirect.headers["location"]).host == "localhost"
    part = httpx.get(url, headers={"Range": "bytes=8-15"}, follow_redirects=True)
    assert (part.status_code, part.content) == (206, content[8:16])


def test_copy_and_folder_deletion(server: Server, repo: str) -> None:
    """A copied LFS file needs no second upload; a deleted folder takes its files along."""
    api = server.api()
    commit(api, repo, {"old/big.bin": os.urandom(70_000), "old/note.txt": b"n"})
    api.create_commit(
        repo,
        [CommitOperationCopy("old/big.bin", "new.bin"), CommitOperationDelete("old/")],
        commit_message="move",
    )
    assert sorted(api.list_repo_files(repo)) == [".gitattributes", "new.bin"]
    last = api.get_paths_info(repo, ["new.bin"], expand=True)[0].last_commit
    assert last is not None
    assert last.title == "move"


def test_upload_that_differs_is_refused(server: Server, repo: str) -> None:
    """Bytes that do not hash to what was announced are not kept; unsigned links do not work."""
    oid = hashlib.sha256(b"announced").hexdigest()
    answer = httpx.post(
        f"{server.url}/{repo}.git/info/lfs/objects/batch",
        json={"operation": "upload", "objects": [{"oid": oid, "size": 9}]},
        headers={"Authorization": f"Bearer {ALICE}"},
    )
    link = answer.json()["objects"][0]["actions"]["upload"]["href"]
    assert httpx.put(link, content=b"different").status_code == 400
    assert httpx.put(link.split("?")[0], content=b"announced").status_code == 403
    assert oid not in {path.name for path in server.blobs()}
    assert httpx.put(link, content=b"announced").status_code == 200
    assert oid in {path.name for path in server.blobs()}
