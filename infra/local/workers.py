"""Process workers: one for the pool `cpu`, one a GPU for the pool `gpu`."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path

import httpx

from infra.local.credentials import Credentials
from infra.local.environment import client_environment, prefect_url
from infra.local.layout import Layout
from infra.local.pidfile import PidFile
from infra.local.piece import NotWell, Piece
from infra.local.ports import Ports
from infra.local.prefect_server import basic

WORKER = "worker-"
"""How the names of workers begin."""
PROBE_SECONDS = 10.0
COMMAND = (
    *(sys.executable, "-m", "prefect", "--no-prompt", "worker", "start", "--type", "process"),
    "--no-create-pool-if-not-found",
)
APART = "ROUNDHOUSE_WORKERS_APART"
"""Set to anything, it gives each worker a home of its own, as on machines of their own; then
ROUNDHOUSE_WORKSPACE must say through what they share stages."""
LEAST_CPU_RUNS = 4
"""A release holds a slot of `cpu` while its GPU stages run, so there must be several."""


def workers(layout: Layout, ports: Ports, credentials: Credentials) -> list[Piece]:
    """The workers of this machine. Without a GPU one worker serves the pool `gpu` all the same."""
    env = client_environment(layout, ports, credentials)
    gpus = visible_gpus()
    client = partial(
        httpx.Client,
        base_url=f"{prefect_url(ports)}/api",
        auth=basic(credentials.prefect_auth),
        timeout=PROBE_SECONDS,
        trust_env=False,
    )
    pins = [{"CUDA_VISIBLE_DEVICES": gpu} for gpu in gpus] if len(gpus) > 1 else [{}]

    def worker(pool: str, suffix: str, limit: int, env: dict[str, str]) -> Piece:
        name = WORKER + suffix
        return Piece(
            name=name,
            command=(*COMMAND, "--pool", pool, "--name", name, "--limit", str(limit)),
            env=env | _own_home(layout, name),
            probe=_probe(client, pool, name, layout.pid(name)),
            url=f"{prefect_url(ports)}/work-pools/work-pool/{pool}",
        )

    return [
        worker("cpu", "cpu", max(LEAST_CPU_RUNS, os.cpu_count() or 1), env),
        *(worker("gpu", f"gpu-{number}", 1, env | pin) for number, pin in enumerate(pins)),
    ]


def _own_home(layout: Layout, worker: str) -> dict[str, str]:
    if not os.environ.get(APART):
        return {}
    return {"ROUNDHOUSE_HOME": str(layout.root / "homes" / worker)}


def visible_gpus() -> list[str]:
    """Indices or ids of the GPUs that may be used, as CUDA_VISIBLE_DEVICES has them."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return [gpu for gpu in chosen.split(",") if gpu.strip()]
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    query = [program, "--query-gpu=index", "--format=csv,noheader"]
    done = subprocess.run(query, capture_output=True, text=True, check=False)
    return done.stdout.split() if done.returncode == 0 else []


def _probe(
    connect: Callable[[], httpx.Client], pool: str, name: str, pidfile: Path
) -> Callable[[], None]:
    """Ask the server whether this very process polls its pool, not an earlier one of that name."""

    def probe() -> None:
        noted = PidFile.read(pidfile)
        since = noted.created if noted else 0.0
        try:
            with connect() as client:
                answer = client.post(f"/work_pools/{pool}/workers/filter", json={})
                found = answer.raise_for_status().json()
        except httpx.HTTPError as error:
            raise NotWell(f"the Prefect server: {error}") from None
        if not any(w["name"] == name and _polls(w, since) for w in found):
            raise NotWell(f"the server does not hear from {name} in pool {pool}")

    return probe


def _polls(worker: dict[str, str], since: float) -> bool:
    heard = datetime.fromisoformat(worker["last_heartbeat_time"]).timestamp()
    return worker["status"] == "ONLINE" and heard > since
