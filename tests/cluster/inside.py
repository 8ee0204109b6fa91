"""What runs inside a machine: `python -m tests.cluster.inside HOME HIDDEN…`, as its first process.

It sees no folder of others, the project read-only, and a /tmp of its own. It starts a worker for
each pool, and ends when one of them does; the kernel then ends everything else in the machine, as
when a container's main process is killed.
"""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

from infra.local.layout import ROOT
from tests.cluster.network import SERVERS

NAMES = ("hub.cluster", "content.cluster")
"""Names of the servers' address; the Hub's links to content go to another name than its own."""
LIMITS = {"cpu": 4, "gpu": 1}


def main(home: Path, hidden: list[Path]) -> int:
    """Set the machine up and wait for the first worker to end."""
    socket.sethostname(home.name)
    _close(home, hidden)
    workers = [subprocess.Popen(_worker(home.name, pool), cwd=ROOT) for pool in LIMITS]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    ours = {worker.pid for worker in workers}
    while os.wait()[0] not in ours:  # orphans come to the first process, which must fetch them
        pass
    return 1


def _worker(machine: str, pool: str) -> list[str]:
    limit = str(LIMITS[pool])
    return [
        sys.executable,
        "-m",
        "infra.worker",
        "--pool",
        pool,
        "--name",
        f"{machine}-{pool}",
        "--limit",
        limit,
    ]


def _close(home: Path, hidden: list[Path]) -> None:
    """Keep the home, hide what belongs to others, and let nothing write to the project."""
    hosts = home / "hosts"
    hosts.write_text(f"127.0.0.1 localhost {home.name}\n{SERVERS} {' '.join(NAMES)}\n")
    _mount("--bind", home, home)
    _mount("--rbind", ROOT, ROOT)
    _mount("-o", "remount,ro,bind", ROOT)
    _mount("--bind", hosts, "/etc/hosts")
    for folder in hidden:
        _mount("-t", "tmpfs", "none", folder)
    _mount("-t", "tmpfs", "none", "/tmp")  # noqa: S108 - the machine's own


def _mount(*arguments: str | Path) -> None:
    subprocess.run(["mount", *map(str, arguments)], check=True)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), [Path(each) for each in sys.argv[2:]]))
