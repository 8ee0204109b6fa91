"""All servers of a cluster on the bridge's address, arranged as in `infra/compose.yaml`."""

import json
import os
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import yaml

from infra.local.credentials import Credentials, load_or_make
from infra.local.environment import REGION
from infra.local.layout import ROOT, Layout
from infra.local.object_store import object_store
from infra.local.ports import choose
from tests.cluster import database
from tests.cluster.database import PYTHON
from tests.cluster.inside import NAMES
from tests.cluster.network import SERVERS
from tests.cluster.serving import Serving

COMPOSE = ROOT / "infra" / "compose.yaml"
PREFECT = f"http://{SERVERS}:4200/api"
HUB_PORT = 8900


@dataclass(frozen=True)
class Servers:
    """What runs, and how it is reached."""

    layout: Layout
    credentials: Credentials
    s3: str

    @property
    def auth(self) -> str:
        """What Prefect's API asks for."""
        return self.credentials.prefect_auth.get_secret_value()

    @property
    def workers(self) -> dict[str, str]:
        """Variables of a machine, as in compose's `x-worker`, secrets included."""
        return {
            **_common(),
            "PREFECT_API_AUTH_STRING": self.auth,
            "HF_ENDPOINT": f"http://{NAMES[0]}:{HUB_PORT}",
            "HF_TOKEN": self.credentials.hub_token.get_secret_value(),
            "AWS_ENDPOINT_URL_S3": self.s3,
            "AWS_ACCESS_KEY_ID": self.credentials.s3_access_key.get_secret_value(),
            "AWS_SECRET_ACCESS_KEY": self.credentials.s3_secret_key.get_secret_value(),
            "AWS_REGION": REGION,
        }

    @property
    def outside(self) -> dict[str, str]:
        """Variables of a client in the namespace of the servers."""
        return self.workers | {"HF_ENDPOINT": f"http://{SERVERS}:{HUB_PORT}"}


def start(folder: Path, stack: ExitStack, gpus: int) -> Servers:
    """Start all servers with the demo's model on the Hub, and bootstrap Prefect for `gpus` GPUs."""
    serving = Serving(folder, stack)
    layout = Layout.of(folder)
    layout.make()
    credentials = load_or_make(layout)
    variables = {"${PREFECT_API_AUTH_STRING:?}": credentials.prefect_auth.get_secret_value()}
    _prefect(serving, variables | database.start(serving).variables)
    s3 = object_store(layout, choose(layout.ports, {}, lambda _: False), credentials, SERVERS)
    serving.start("s3", s3.command, s3.env)
    serving.wait("s3", ["curl", "--silent", "--output", os.devnull, s3.url])
    _hub(serving, layout)
    servers = Servers(layout, credentials, s3.url)
    seed = [sys.executable, "-m", "infra.local.seed", str(serving.folder("seed"))]
    bootstrap = [sys.executable, "-m", "infra.bootstrap", "--type", "process", "--gpus", str(gpus)]
    bootstrap += ["--releases", str(2 * gpus)]
    for command in (seed, bootstrap):
        subprocess.run(command, cwd=ROOT, env=os.environ | servers.outside, check=True)
    return servers


def _prefect(serving: Serving, variables: dict[str, str]) -> None:
    """The database's tables, the API, and the services apart from it."""
    home = {"PREFECT_HOME": str(serving.folder("prefect"))}
    for name in ("migrate", "server", "services"):
        command, env = _composed(name, variables)
        if name == "server":
            command += ["--port", "4200"]
        if name == "migrate":
            everything = os.environ | env | home
            done = subprocess.run(command, env=everything, check=False, capture_output=True)
            assert done.returncode == 0, done.stderr.decode()[-2000:]
            continue
        serving.start(f"prefect-{name}", command, env | home)
        if name == "server":
            serving.wait("prefect-server", ["curl", "--fail", "--silent", f"{PREFECT}/health"])


def _composed(name: str, variables: dict[str, str]) -> tuple[list[str], dict[str, str]]:
    """Command and variables of one of compose's services, for the addresses and secrets here."""
    text = json.dumps(yaml.safe_load(COMPOSE.read_text())["services"][name])
    for there, here in (variables | {"0.0.0.0": SERVERS}).items():  # noqa: S104 - replaced
        text = text.replace(there, here)
    service = json.loads(text)
    env = service["environment"] | _common() | {"PREFECT_REDIS_MESSAGING_HOST": SERVERS}
    return [str(PYTHON), "-m", *service["command"]], env


def _common() -> dict[str, str]:
    """What every client and server has; the bridge is reached without a proxy."""
    near = ",".join((SERVERS, *NAMES, "127.0.0.1", "localhost"))
    return {
        "PREFECT_API_URL": PREFECT,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "HF_HUB_DISABLE_XET": "1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "PYTHONPATH": str(ROOT),
        "NO_PROXY": near,
        "no_proxy": near,
    }


def _hub(serving: Serving, layout: Layout) -> None:
    place = ("--host", SERVERS, "--port", str(HUB_PORT), "--content-host", NAMES[1])
    files = ("--root", serving.folder("hub"), "--token-file", layout.hub_tokens)
    serving.start("hub", [sys.executable, "-m", "infra.local.hub", *place, *files])
    url = f"http://{SERVERS}:{HUB_PORT}/healthz"
    serving.wait("hub", ["curl", "--fail", "--silent", url])
