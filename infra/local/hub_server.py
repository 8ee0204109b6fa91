"""The Hub stand-in as a piece of the stack."""

import sys
from collections.abc import Callable
from pathlib import Path

import httpx
from pydantic import SecretStr

from infra.local.credentials import USER, Credentials
from infra.local.environment import hub_url
from infra.local.layout import ROOT, Layout
from infra.local.piece import NotWell, Piece
from infra.local.ports import Ports
from tasks.core.digest import sha256_file, sha256_json

PROBE_SECONDS = 10.0
SOURCE = Path(__file__).parent / "hub"


def hub_server(layout: Layout, ports: Ports, credentials: Credentials) -> Piece:
    """The stand-in, restarted when its own source changes."""
    root = str(layout.data("hub"))
    command = (sys.executable, "-m", "infra.local.hub", "--root", root)
    return Piece(
        name="hub",
        command=(*command, "--port", str(ports["hub"]), "--token-file", str(layout.hub_tokens)),
        env={"PYTHONPATH": str(ROOT)},
        probe=_probe(hub_url(ports), credentials.hub_token),
        url=hub_url(ports),
        version=sha256_json({p.name: sha256_file(p) for p in SOURCE.glob("*.py")}),
    )


def _probe(url: str, token: SecretStr) -> Callable[[], None]:
    """Ask who the token's owner is, then for the owner's repositories and their last commits."""

    def probe() -> None:
        headers = {"Authorization": f"Bearer {token.get_secret_value()}"}
        try:
            with httpx.Client(
                base_url=url, headers=headers, timeout=PROBE_SECONDS, trust_env=False
            ) as client:
                who = client.get("/api/whoami-v2").raise_for_status().json()
                models = client.get("/api/models", params={"author": USER}).raise_for_status()
                for model in models.json():
                    client.get(f"/api/models/{model['id']}/commits/main").raise_for_status()
        except (httpx.HTTPError, ValueError) as error:
            raise NotWell(f"{url}: {error}") from None
        if who.get("name") != USER:
            raise NotWell(f"{url} takes the token's owner for {who.get('name')!r}")

    return probe
