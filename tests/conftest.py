"""Fixtures that several rooms share."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import boto3
import httpx
import pytest
from huggingface_hub import CommitOperationAdd, HfApi
from pydantic import SecretStr

from infra.local.credentials import Credentials
from infra.local.environment import BUCKET, REGION
from infra.local.layout import Layout
from infra.local.object_store import _program, object_store
from infra.local.piece import NotWell
from infra.local.ports import Ports, choose
from tasks.clients.hub import Hub
from tasks.clients.s3 import Store
from tasks.clients.s3_multipart import Multipart
from tasks.core.process import Child, child_environment
from tasks.core.settings import Settings
from tasks.sign.signer import Signer

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

START_SECONDS = 60
PARTS = ("master", "filer")


@dataclass(frozen=True)
class HubServer:
    """The running Hub stand-in; `roundhouse` is its writer, `reader` may only read."""

    url: str
    root: Path
    log: Path

    def token(self, who: str = "roundhouse") -> str:
        """The token of `roundhouse`, `reader` or `stranger`; of nobody, none."""
        return f"hf_{who}_canary" if who else ""

    def hub(self, who: str = "roundhouse") -> Hub:
        """Our client, with somebody's token."""
        return Hub(self.url, SecretStr(self.token(who)))

    def api(self, who: str = "roundhouse") -> HfApi:
        """The library's client, with somebody's token."""
        return HfApi(self.url, token=self.token(who) or False)

    def seed(
        self,
        repo: str,
        files: Mapping[str, bytes],
        repo_type: str = "model",
        *,
        gated: Literal["auto", "manual", False] = False,
    ) -> str:
        """Make a repository with these files; the commit."""
        api = self.api()
        api.create_repo(repo, repo_type=repo_type, exist_ok=True)
        operations = [CommitOperationAdd(path, data) for path, data in files.items()]
        made = api.create_commit(repo, operations, commit_message="seed", repo_type=repo_type)
        if gated:
            api.update_repo_settings(repo, gated=gated, repo_type=repo_type)
        return made.oid

    def requests(self) -> list[tuple[str, str, int]]:
        """Method, path and status of every request so far."""
        rows = [json.loads(line) for line in self.log.read_text().splitlines()]
        return [(row["method"], row["path"], row["status"]) for row in rows]


def openssl(*arguments: str | Path) -> None:
    """Run OpenSSL's program."""
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


@dataclass(frozen=True)
class Keys:
    """PEM files of a key pair."""

    private: Path
    public: Path

    @classmethod
    def make(cls, folder: Path) -> "Keys":
        """A new pair, made by OpenSSL."""
        folder.mkdir(parents=True, exist_ok=True)
        keys = cls(folder / "key.pem", folder / "key.pub.pem")
        openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", keys.private)
        openssl("ec", "-in", keys.private, "-pubout", "-out", keys.public)
        return keys

    @property
    def signer(self) -> Signer:
        """Signs with the private key."""
        return Signer(self.private, SecretStr(""))


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    """The key pair of this test session."""
    return Keys.make(tmp_path_factory.mktemp("keys"))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="session")
def hub_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubServer]:
    """A Hub stand-in of this test session, in a process of its own."""
    root = tmp_path_factory.mktemp("hub")
    users = {
        "hf_roundhouse_canary": {"name": "roundhouse", "role": "write", "orgs": ["acme"]},
        "hf_reader_canary": {"name": "reader", "role": "read", "orgs": []},
        "hf_stranger_canary": {"name": "stranger", "role": "write", "orgs": []},
    }
    tokens = root / "tokens.json"
    tokens.write_text(json.dumps(users))
    port, log = free_port(), root / "requests.jsonl"
    command = [sys.executable, "-m", "infra.local.hub", "--root", str(root), "--port", str(port)]
    command += ["--token-file", str(tokens), "--log-file", str(log), "--xet"]
    with Child(command, root / "hub.log") as child:
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                httpx.get(f"{url}/healthz").raise_for_status()
                break
            except httpx.HTTPError:
                assert child.returncode is None, child.tail()
                assert time.monotonic() < deadline, child.tail()
                time.sleep(0.1)
        yield HubServer(url, root, log)


@dataclass(frozen=True)
class S3Server:
    """The running S3 server (SeaweedFS) with the bucket `artifacts`."""

    url: str
    credentials: Credentials
    ports: Ports

    def reader(self) -> dict[str, str]:
        """Keys of an identity that may read and list the bucket `artifacts`, and no more."""
        name, secret = (
            f"READER{os.urandom(6).hex().upper()}",
            f"reader-canary-{os.urandom(6).hex()}",
        )
        made = f"s3.configure -user {name} -access_key {name} -secret_key {secret}"
        at = {part: f"{self.ports[part]}.{self.ports[f'{part}_grpc']}" for part in PARTS}
        subprocess.run(
            [_program(), "shell", *(f"-{part}=127.0.0.1:{port}" for part, port in at.items())],
            input=f"{made} -actions Read,List -buckets {BUCKET} -apply\n",
            text=True,
            check=True,
            capture_output=True,
        )
        return {"s3_access_key": name, "s3_secret_key": secret}

    def settings(self, secret: str = "", **others: object) -> Settings:
        """Settings that point there; `secret` replaces the right secret key."""
        values: dict[str, object] = {
            "s3_endpoint": self.url,
            "s3_region": REGION,
            "s3_access_key": self.credentials.s3_access_key,
            "s3_secret_key": SecretStr(secret) if secret else self.credentials.s3_secret_key,
            "archive": f"s3://{BUCKET}/releases",
        }
        return Settings.model_validate(values | others)

    def store(self, part_bytes: int = 5 << 20) -> Store:
        """A store that cuts files as small as S3 allows."""
        return Store.from_settings(self.settings(), Multipart(part_bytes))

    def client(self) -> "S3Client":
        """boto3's own client: the tests' other way to the objects."""
        return boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id=self.credentials.s3_access_key.get_secret_value(),
            aws_secret_access_key=self.credentials.s3_secret_key.get_secret_value(),
        )


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """An S3 server of this test session, in a process of its own."""
    layout = Layout.of(tmp_path_factory.mktemp("s3"))
    layout.make()
    credentials = Credentials(
        hub_token=SecretStr(""),
        s3_access_key=SecretStr("ROUNDHOUSECANARY"),
        s3_secret_key=SecretStr("s3-secret-canary"),
        prefect_auth=SecretStr(""),
    )
    ports = choose(layout.ports, {}, lambda _: False)
    piece = object_store(layout, ports, credentials)
    env = child_environment(**piece.env)
    with Child(piece.command, layout.log("s3"), env) as child:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                piece.probe()
                break
            except NotWell:
                assert child.returncode is None, child.tail()
                assert time.monotonic() < deadline, child.tail()
                time.sleep(0.2)
        yield S3Server(piece.url, credentials, ports)
