"""The Prefect server, on SQLite."""

import sys
from collections.abc import Callable
from uuid import uuid4

import httpx

from infra.local.environment import prefect_environment, prefect_url
from infra.local.layout import Layout
from infra.local.piece import NotWell, Piece
from infra.local.ports import HOST, Ports
from tasks.core.versions import installed

PROBE_SECONDS = 10.0
DATABASE_SECONDS = 60
"""Server and workers share two cores with quantization; SQLite's default of 10 s is too short."""


def prefect_server(layout: Layout, ports: Ports) -> Piece:
    """The server as a piece of the stack."""
    url = prefect_url(ports)
    env = prefect_environment(layout, ports) | {
        "PREFECT_SERVER_DATABASE_TIMEOUT": str(DATABASE_SECONDS),
        "PREFECT_SERVER_DATABASE_CONNECTION_TIMEOUT": str(DATABASE_SECONDS),
        "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
        "PREFECT_SERVER_UI_STATIC_DIRECTORY": str(layout.data("prefect") / "ui"),
    }
    command = (sys.executable, "-m", "prefect", "server", "start")
    return Piece(
        name="prefect",
        command=(*command, "--host", HOST, "--port", str(ports["prefect"]), "--analytics-off"),
        env=env,
        probe=_probe(f"{url}/api"),
        url=url,
        version=installed("prefect")["prefect"],
    )


def _probe(api: str) -> Callable[[], None]:
    """Write a variable, read it back, take it away, and read the work pools."""

    def probe() -> None:
        name, value = f"probe_{uuid4().hex}", uuid4().hex
        try:
            with httpx.Client(base_url=api, timeout=PROBE_SECONDS, trust_env=False) as client:
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
