"""Xet in place of LFS."""

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.infra.hub.case import ALICE, Server, read_tree, write_tree

# the client's own call of its HTTP library, on every plain upload
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


_XET_CLIENT = """
import hashlib, os, sys
from pathlib import Path
from huggingface_hub import HfApi
api, what, path = HfApi(), sys.argv[1], Path(sys.argv[2])
if what == "up":
    api.create_repo("acme/xet", exist_ok=True)
    api.upload_folder(repo_id="acme/xet", folder_path=path)
    input("uploaded")  # stays open: another client must not mind
else:
    api.snapshot_download("acme/xet", local_dir=path)
"""


def test_xet_round_trip(tmp_path: Path) -> None:
    """Xet on: one client uploads and stays, another downloads the same bytes, plain reads work."""
    server = Server(tmp_path / "xet", "--xet")
    env = {**os.environ, "HF_ENDPOINT": server.url, "HF_TOKEN": ALICE}
    env |= {"HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_XET": "0"}
    files = {"model.safetensors": os.urandom(2_000_000), "config.json": b"{}"}
    write_tree(tmp_path / "up", files)
    client = [sys.executable, "-c", _XET_CLIENT]
    try:
        with subprocess.Popen(
            [*client, "up", str(tmp_path / "up")],
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as uploader:
            assert uploader.stdout is not None
            assert uploader.stdout.read(8) == b"uploaded"
            subprocess.run([*client, "down", str(tmp_path / "down")], env=env, check=True)
            uploader.communicate(b"\n")
        received = read_tree(tmp_path / "down")
        assert {name: received[name] for name in files} == files
        used = {row["path"].split("/")[5] for row in server.requests() if "xet-" in row["path"]}
        assert used == {"xet-write-token", "xet-read-token"}
        assert not [row for row in server.requests() if "/_lfs/" in row["path"]]
        url = f"{server.url}/acme/xet/resolve/main/model.safetensors"
        plain = httpx.get(url, headers={"Range": "bytes=100-199"}, follow_redirects=True)
        assert plain.content == files["model.safetensors"][100:200]
    finally:
        server.stop()
