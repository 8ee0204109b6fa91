"""The Hub stand-in as a process, and folders to send to it."""

import json
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
from huggingface_hub import CommitOperationAdd, HfApi

ALICE, READER, OUTSIDER = "hf_alice", "hf_reader", "hf_outsider"
USERS = {
    ALICE: {"name": "alice", "orgs": ["acme"]},
    READER: {"name": "reader", "role": "read", "orgs": ["acme"]},
    OUTSIDER: {"name": "outsider"},
}
CARD = b"---\nlicense: mit\nbase_model: acme/base\ntags: [nvfp4]\n---\n# Hello\n"
# small limits, so that small files take every path
LIMITS = ("--lfs-threshold=50000", "--multipart-threshold=100000", "--part-size=40000")


class Server:
    """The stand-in as a process of its own, on a port that stays the same over restarts."""

    def __init__(self, root: Path, *flags: str) -> None:
        self.root, self.log = root, root / "requests.jsonl"
        root.mkdir(exist_ok=True)
        tokens = root / "tokens.json"
        tokens.write_text(json.dumps(USERS))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self._command = [
            *(sys.executable, "-m", "infra.local.hub", f"--root={root / 'state'}"),
            *(f"--port={port}", f"--token-file={tokens}", f"--log-file={self.log}"),
            *(*LIMITS, *flags),
        ]
        self.start()

    def start(self) -> None:
        """Start, and wait for the first answer."""
        self.process = subprocess.Popen(self._command)
        deadline = time.monotonic() + 30
        while not self._answers():
            assert self.process.poll() is None, "the server ended"
            assert time.monotonic() < deadline, "the server does not answer"
            time.sleep(0.05)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal, wait for the end, give the exit status."""
        self.process.send_signal(number)
        return self.process.wait(20)

    def api(self, token: str | None = ALICE) -> HfApi:
        """A client that calls with ``token``, or without any."""
        return HfApi(endpoint=self.url, token=token or False)

    def requests(self) -> list[dict[str, Any]]:
        """The request log."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def blobs(self) -> list[Path]:
        """Every stored content."""
        return [path for path in (self.root / "state" / "blobs").rglob("*") if path.is_file()]

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/healthz", timeout=1).status_code == 200
        except httpx.TransportError:
            return False


def write_tree(folder: Path, files: dict[str, bytes]) -> Path:
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return folder


def read_tree(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".cache" not in path.parts
    }


def commit(api: HfApi, repo: str, files: dict[str, bytes], **options: Any) -> str:
    adds = [CommitOperationAdd(path, content) for path, content in files.items()]
    return str(api.create_commit(repo, adds, commit_message="change", **options).oid)
