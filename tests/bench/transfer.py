"""Throughput of upload and archive against the bare clients, in one run on this machine.

    HF_HUB_DISABLE_XET=1 python -m tests.bench.transfer [--gigabytes 2] [--rounds 5] [FOLDER]

Each side sends files of its own with fresh bytes to the Hub stand-in and to the S3 server. The
sides take turns, in the other order every second round, and the median of each counts. Ours is
what a stage does to publish or archive: digests, signature, transfer, and what is compared
afterwards. Bare is `HfApi.create_commit` and boto3's `upload_file`. A ratio of 1.0 is the bare
client's speed. `--page` puts the table into docs/performance.md.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
from huggingface_hub import CommitOperationAdd, HfApi
from pydantic import SecretStr

from infra.local.credentials import Credentials
from infra.local.layout import Layout
from infra.local.object_store import object_store
from infra.local.piece import NotWell
from infra.local.ports import choose
from tasks.archive import archive
from tasks.clients.s3_multipart import Multipart
from tasks.core.manifest import FileRecord
from tasks.core.process import Child, child_environment
from tasks.core.progress import Silent
from tasks.core.records import Release, UploadRecord
from tasks.upload import upload
from tests.bench.machine import machine
from tests.bench.page import put
from tests.bench.transfer_page import table
from tests.conftest import HubServer, Keys, S3Server, free_port
from tests.finished_stages import finish_stages

GB = 10**9
BLOCK = 1 << 24
SHARDS = 4
TOKEN = "hf_roundhouse_canary"
SILENT = Silent()


def main(arguments: list[str]) -> int:
    """Measure, print a line for each side, and write `transfer.json`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("var/bench"))
    parser.add_argument("--gigabytes", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--page", action="store_true", help="put the table into the documentation")
    given = parser.parse_args(arguments)
    given.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=given.folder) as work, ExitStack() as stack:
        bench = Bench(Path(work), int(given.gigabytes * GB), stack)
        measured = bench.measure(given.rounds)
    (given.folder / "transfer.json").write_text(json.dumps(measured, indent=2) + "\n")
    sys.stdout.write(json.dumps(measured, indent=2) + "\n")
    if given.page:
        put("transfer", table(measured))
    return 0


class Bench:
    """Servers, keys and a folder to work in.

    Args:
        work: takes everything, the servers' data too.
        size: bytes to send each time.
        stack: ends the servers.
    """

    def __init__(self, work: Path, size: int, stack: ExitStack) -> None:
        self.work, self.size = work, size
        self.hub, self.s3 = start_hub(work / "hub", stack), start_s3(work / "s3", stack)
        self.keys = Keys.make(work / "keys")

    def measure(self, rounds: int) -> dict[str, Any]:
        """Seconds of each side and their ratios."""
        sides = {
            "hub bare": self.hub_bare,
            "hub ours": self.hub_ours,
            "s3 bare": self.s3_bare,
            "s3 ours": self.s3_ours,
        }
        seconds: dict[str, list[float]] = {name: [] for name in sides}
        for number in range(rounds):
            turns = list(sides.items())
            for name, side in reversed(turns) if number % 2 else turns:
                taken = self._timed(side, f"{name.replace(' ', '-')}-{number}")
                seconds[name].append(round(taken, 2))
        median = {name: statistics.median(values) for name, values in seconds.items()}
        return {
            "machine": machine(),
            "bytes": self.size,
            "seconds": seconds,
            "hub ratio": round(median["hub bare"] / median["hub ours"], 3),
            "s3 ratio": round(median["s3 bare"] / median["s3 ours"], 3),
        }

    def _timed(self, side: Callable[[Release, str], Callable[[], None]], name: str) -> float:
        release = self._release(name)
        run = side(release, name)
        started = time.monotonic()
        run()
        taken = time.monotonic() - started
        for file in release.convert.files:
            (release.convert.path / file.path).unlink()
        sys.stderr.write(f"{name}: {taken:.1f} s, {self.size / taken / 1e6:.0f} MB/s\n")
        return taken

    def _release(self, name: str) -> Release:
        """A finished release whose shards have the wanted size together, and fresh bytes."""
        release = finish_stages(self.work / "home", f"acme/{name}", f"demo-01234567-{name}")
        folder = release.convert.path
        for number in range(SHARDS):
            with (folder / f"big-{number}.safetensors").open("wb") as stream:
                block = os.urandom(BLOCK)
                for start in range(0, self.size // SHARDS, BLOCK):
                    stream.write(block[: self.size // SHARDS - start])
        files = tuple(FileRecord.of(folder, path) for path in sorted(folder.iterdir()))
        convert = release.convert.model_copy(update={"files": files})
        inputs = {"convert": convert.digest}
        validate = release.validate.model_copy(update={"inputs": inputs})
        return replace(release, convert=convert, validate=validate)

    def hub_bare(self, release: Release, name: str) -> Callable[[], None]:
        """One commit of all files by the library."""
        api, repo = HfApi(self.hub.url, token=TOKEN), f"acme/{name}"
        api.create_repo(repo)
        paths = {f.path: release.convert.path / f.path for f in release.convert.files}

        def run() -> None:
            adding = [CommitOperationAdd(path, local) for path, local in paths.items()]
            api.create_commit(repo, adding, commit_message="bare")

        return run

    def hub_ours(self, release: Release, name: str) -> Callable[[], None]:
        """The upload stage."""
        del name
        settings = self.s3.settings(
            signing_key=self.keys.private, hub_endpoint=self.hub.url, hub_token=TOKEN
        )

        def run() -> None:
            upload.run(
                release,
                hub=self.hub.hub(),
                settings=settings,
                home=self.work / "home",
                reporter=SILENT,
            )

        return run

    def s3_bare(self, release: Release, name: str) -> Callable[[], None]:
        """boto3's transfer of each file."""
        client = self.s3.client()

        def run() -> None:
            for file in release.convert.files:
                client.upload_file(
                    str(release.convert.path / file.path), "artifacts", f"bare/{name}/{file.path}"
                )

        return run

    def s3_ours(self, release: Release, name: str) -> Callable[[], None]:
        """The archive stage, after an upload that is recorded and was not made."""
        up = UploadRecord(
            stage="upload", folder=str(self.work), files=(), inputs={}, seconds=0,
            repo=f"acme/{name}", commit="c" * 40, tag=release.plan.release_id, url="https://x",
        )  # fmt: skip
        settings = self.s3.settings(signing_key=self.keys.private)
        store = self.s3.store(part_bytes=Multipart().part_bytes)

        def run() -> None:
            archive.run(
                release,
                up,
                store=store,
                home=self.work / "home",
                settings=settings,
                reporter=SILENT,
            )

        return run


def start_hub(root: Path, stack: ExitStack) -> HubServer:
    """The Hub stand-in, over LFS."""
    root.mkdir()
    tokens = root / "tokens.json"
    tokens.write_text(
        json.dumps({TOKEN: {"name": "roundhouse", "role": "write", "orgs": ["acme"]}})
    )
    port, log = free_port(), root / "requests.jsonl"
    command = [sys.executable, "-m", "infra.local.hub", "--root", str(root), "--port", str(port)]
    command += ["--token-file", str(tokens), "--log-file", str(log)]
    stack.enter_context(Child(command, root / "hub.log"))
    url = f"http://127.0.0.1:{port}"
    _until(lambda: httpx.get(f"{url}/healthz").raise_for_status(), httpx.HTTPError)
    return HubServer(url, root, log)


def start_s3(root: Path, stack: ExitStack) -> S3Server:
    """SeaweedFS."""
    root.mkdir()
    layout = Layout.of(root)
    layout.make()
    credentials = Credentials(
        hub_token=SecretStr(""),
        s3_access_key=SecretStr("ROUNDHOUSEBENCH"),
        s3_secret_key=SecretStr("s3-secret-bench"),
        prefect_auth=SecretStr(""),
    )
    ports = choose(layout.ports, {}, lambda _: False)
    piece = object_store(layout, ports, credentials)
    stack.enter_context(Child(piece.command, layout.log("s3"), child_environment(**piece.env)))
    _until(piece.probe, NotWell)
    return S3Server(piece.url, credentials, ports)


def _until(works: Callable[[], object], error: type[Exception]) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            works()
        except error:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
        else:
            return


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
