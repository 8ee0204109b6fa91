"""`make cluster`: twelve releases by one to four machines, and by four that are killed at random.

    python -m tests.cluster.run FOLDER [--machines 1 2 3 4] [--kills 12] [--cores 0.5]
    python -m tests.cluster.table FOLDER [--page]

Needs root, for network namespaces. The machines have nothing in common but S3; the servers are
arranged as in `infra/compose.yaml`, on a real PostgreSQL and Redis.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from prefect.client.orchestration import SyncPrefectClient

from infra.local.environment import BUCKET
from infra.local.layout import ROOT
from tasks.core.settings import Settings
from tasks.sign.keys import read_public_key
from tasks.sign.signer import Verifier
from tests.cluster import network, proof, schedules, servers
from tests.cluster.killer import Killer
from tests.cluster.machine import Machine
from tests.cluster.network import Place
from tests.cluster.releases import make, orders
from tests.cluster.servers import PREFECT, Servers
from tests.cluster.share import join
from tests.cluster.table import Line, keep

ROUND_SECONDS = 3600.0
BYTECODE = "bytecode"


@dataclass(frozen=True)
class Trial:
    """What all rounds have in common."""

    folder: Path
    servers: Servers
    client: SyncPrefectClient
    places: list[Place]
    count: int
    cores: float

    def round(self, name: str, machines: int, kills: int = 0, seed: int = 1) -> Line:
        """Make all releases with so many machines, and check what came of it."""
        homes = self.folder / "machines" / name
        settings = self._settings(name)
        with ExitStack() as stack:
            ours = [stack.enter_context(m) for m in self._machines(homes, machines, settings)]
            killer = Killer(ours, seed, most=kills)
            ordered = orders(name, self.count)
            outcome = make(self.client, ordered, name, ROUND_SECONDS, killer)
            proof.wait_for_silence(self.client)
            starts = sum(machine.starts for machine in ours)
        made = proof.Round(name, ordered, outcome, settings)
        verifier = Verifier(read_public_key(self.servers.layout.verify_key))
        digests = proof.check(made, self.client, verifier)
        proof.check_nothing_runs(self.client, homes)
        shutil.rmtree(homes)
        return Line(
            machines=machines,
            cores=self.cores,
            seconds=round(outcome.seconds, 1),
            killed=tuple(killer.struck),
            starts=starts,
            digests=digests,
        )

    def _settings(self, name: str) -> Settings:
        """As a client outside sees the round."""
        for variable, value in (self.servers.outside | self._own(name)).items():
            os.environ[variable] = value
        return Settings()

    def _own(self, name: str) -> dict[str, str]:
        """Where a round keeps its things, so that no two have any in common."""
        return {
            "ROUNDHOUSE_WORKSPACE": f"s3://{BUCKET}/{name}/workspace",
            "ROUNDHOUSE_ARCHIVE": f"s3://{BUCKET}/{name}/releases",
        }

    def _machines(self, homes: Path, count: int, settings: Settings) -> list[Machine]:
        folders = {place: homes / place.name for place in self.places[:count]}
        for folder in folders.values():
            folder.mkdir(parents=True)
            shutil.copy(self.servers.layout.signing_key, folder / "signing.pem")
        return [
            Machine(
                place,
                folder,
                self._env(folder, settings),
                [self.servers.layout.home, *(f for f in folders.values() if f != folder)],
                self.cores,
            )
            for place, folder in folders.items()
        ]

    def _env(self, folder: Path, settings: Settings) -> dict[str, str]:
        return self.servers.workers | {
            "ROUNDHOUSE_WORKSPACE": settings.workspace,
            "ROUNDHOUSE_ARCHIVE": settings.archive,
            "ROUNDHOUSE_SIGNING_KEY": str(folder / "signing.pem"),
            "ROUNDHOUSE_SERVE_PYTHON": str(ROOT / settings.serve_python),
            "PREFECT_HOME": str(folder / "prefect"),
            "HF_HOME": str(folder / "huggingface"),
            "PYTHONPYCACHEPREFIX": str(self.folder / BYTECODE),
            "PYTHONDONTWRITEBYTECODE": "1",
            "OMP_NUM_THREADS": "1",
        }


def _compile(folder: Path) -> None:
    """Compile all Python code once, as an image has it; machines only read it."""
    rooms = [ROOT / room for room in ("flows", "tasks", "infra")]
    serving = ROOT.glob(".venv/serve/lib/python*/site-packages")
    places = [*rooms, *serving, sysconfig.get_path("purelib")]
    command = [sys.executable, "-m", "compileall", "-q", "-j", "0", *map(str, places)]
    env = os.environ | {"PYTHONPYCACHEPREFIX": str(folder)}
    subprocess.run(command, env=env, check=False, capture_output=True)


def main() -> None:
    """Make all rounds, check each, compare them, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "folder",
        type=Path,
        help="takes everything; from an earlier trial only compiled code may be in it",
    )
    parser.add_argument("--machines", type=int, nargs="*", default=[1, 2, 3, 4])
    parser.add_argument("--killed", type=int, default=4, help="machines of the last round; 0: none")
    parser.add_argument("--kills", type=int, default=12, help="how many at most")
    parser.add_argument("--seed", type=int, default=1, help="of the kills")
    parser.add_argument("--releases", type=int, default=12)
    parser.add_argument(
        "--cores", type=float, default=0.5, help="of each machine; 0: all there are"
    )
    chosen = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    folder = chosen.folder.resolve()
    (folder / BYTECODE).mkdir(parents=True, exist_ok=True)
    _compile(folder / BYTECODE)
    if chosen.cores:
        join("servers")
    most = max([*chosen.machines, chosen.killed])
    with ExitStack() as stack:
        stack.enter_context(network.bridge())
        places = stack.enter_context(network.namespaces(most))
        started = servers.start(folder / "servers", stack, gpus=most)
        client = stack.enter_context(SyncPrefectClient(api=PREFECT, auth_string=started.auth))
        schedules.check(client)
        trial = Trial(folder, started, client, places, chosen.releases, chosen.cores)
        for count in chosen.machines:
            keep(folder, trial.round(f"by-{count}", count))
        if chosen.killed:
            keep(folder, trial.round("killed", chosen.killed, chosen.kills, chosen.seed))


if __name__ == "__main__":
    main()
