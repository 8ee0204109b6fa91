"""Makes a Prefect server ready for Roundhouse: work pools, their limits, automations, deployments.

    python -m infra.bootstrap --type process|docker|kubernetes [--gpus N] [--releases N]
        [--image gpu=… cpu=…]

The server is the one of PREFECT_API_URL. What is missing is made and what differs is changed, so
that it may run again at any time: at every start of a stack, after every new version.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import DeploymentUpdate

from infra.local.layout import ROOT
from infra.local.pools import POOLS, TEMPLATES, keep_all, local_template

DEPLOYMENT = "release/default"
TYPES = ("process", "docker", "kubernetes")


def template(pool: str, kind: str, image: str = "") -> dict[str, Any]:
    """A pool's base job template.

    Args:
        pool: `cpu` or `gpu`.
        kind: type of the pool.
        image: of its runs, in place of the template's; process pools have none.
    """
    path = TEMPLATES / f"{pool}-{kind}.json"
    if kind == "process":
        return local_template(path, ROOT)
    found: dict[str, Any] = json.loads(path.read_bytes())
    if image:
        found["variables"]["properties"]["image"]["default"] = image
    return found


def bootstrap(kind: str, gpus: int, images: dict[str, str]) -> None:
    """Make pools and automations.

    Args:
        kind: type of both pools.
        gpus: runs of the pool `gpu` at once, over all its workers.
        images: of the runs, by pool.
    """
    templates = {pool: template(pool, kind, images.get(pool, "")) for pool in POOLS}
    with get_client(sync_client=True) as client:
        keep_all(client, kind, templates, gpus)


def deploy(project: Path = ROOT) -> None:
    """Deploy `prefect.yaml`.

    Raises:
        CalledProcessError: Prefect refused it; its words are on stderr.
    """
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"]
    subprocess.run(command, cwd=project, check=True)


def allow(releases: int) -> None:
    """Let so many releases be at once, instead of as many as prefect.yaml says."""
    with get_client(sync_client=True) as client:
        deployment = client.read_deployment_by_name(DEPLOYMENT)
        client.update_deployment(deployment.id, DeploymentUpdate(concurrency_limit=releases))


def main() -> None:
    """Do all of it, as the command line says."""
    parser = argparse.ArgumentParser(prog="python -m infra.bootstrap", description=__doc__)
    parser.add_argument("--type", choices=TYPES, default="process", dest="kind")
    parser.add_argument("--gpus", type=int, default=1)
    parser.add_argument("--releases", type=int, help="at once; as prefect.yaml says if not given")
    parser.add_argument("--image", action="append", default=[], metavar="POOL=IMAGE")
    arguments = parser.parse_args()
    images = dict(each.split("=", 1) for each in arguments.image)
    bootstrap(arguments.kind, arguments.gpus, images)
    deploy()
    if arguments.releases:
        allow(arguments.releases)


if __name__ == "__main__":
    main()
