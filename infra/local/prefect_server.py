"""The Prefect server, on SQLite."""

import sys
from collections.abc import Callable
from uuid import uuid4

import httpx
from pydantic import SecretStr

from infra.local.credentials import Credentials
from infra.local.environment import prefect_environment, prefect_url
from infra.local.layout import Layout
from infra.local.piece import NotWell, Piece
from infra.local.ports import HOST, Ports
from tasks.core.settings import Settings
from tasks.core.versions import installed

PROBE_SECONDS = 10.0
DATABASE_SECONDS = 60
"""Server and workers share two cores with quantization; SQLite's default of 10 s is too short."""


def prefect_server(layout: Layout, ports: Ports, credentials: Credentials) -> Piece:
    """The server as a piece of the stack."""
    url = prefect_url(ports)
    auth = credentials.prefect_auth
    env = prefect_environment(layout, ports) | {
        "PREFECT_SERVER_DATABASE_TIMEOUT": str(DATABASE_SECONDS),
        "PREFECT_SERVER_DATABASE_CONNECTION_TIMEOUT": str(DATABASE_SECONDS),
        "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
        "PREFECT_SERVER_UI_STATIC_DIRECTORY": str(layout.data("prefect") / "ui"),
    }
    if Settings().stack_auth:
        env |= {"PREFECT_SERVER_API_AUTH_STRING": auth.get_secret_value()}
    command = (sys.executable, "-m", "prefect", "server", "start")
    return Piece(
        name="prefect",
        command=(*command, "--host", HOST, "--port", str(ports["prefect"]), "--analytics-off"),
        env=env,
        probe=_probe(f"{url}/api", basic(auth)),
        url=url,
        version=installed("prefect")["prefect"],
    )


def basic(auth: SecretStr) -> httpx.BasicAuth:
    """What a client of the API shows, whether it is asked for or not."""
    return httpx.BasicAuth(*auth.get_secret_value().split(":", 1))


def _probe(api: str, auth: httpx.Auth) -> Callable[[], None]:
    """Write a variable, read it back, take it away, and read the work pools."""

    def probe() -> None:
        name, value = f"probe_{uuid4().hex}", uuid4().hex
        try:
            with httpx.Client(
                base_url=api, auth=auth, timeout=PROBE_SECONDS, trust_env=False
            ) as client:
                made = client.post("/variables/", json={"name": name, "value": value})
                made.raise_for_status()
                read = client.get(f"/variables/name/{name}").raise_for_status()
                client.delete(f"/variables/name/{name}").raise_for_status()
                client.post("/work_pools/filter", json={}).raise_for_status()
        except httpx.HTTPError as error:
            raise NotWell(f"{api}: {error}") from None
        if read.json()["value"] != value:
            raise NotWell(f"{api} does not give back what was written")

    return probe
