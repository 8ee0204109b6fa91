"""A real Prefect server that asks for a password, and everything of ours that talks to it."""

import json
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.exceptions import PrefectHTTPStatusError

from flows.follow import server_errors
from infra.local import pools
from infra.local.credentials import Credentials, load_or_make
from infra.local.daemon import Daemon
from infra.local.environment import client_environment, prefect_url
from infra.local.layout import ROOT, Layout
from infra.local.ports import Ports, choose
from infra.local.prefect_client import client_of
from infra.local.prefect_server import prefect_server
from tasks.core.errors import InputError
from tasks.core.process import child_environment
from tests.command import roundhouse

pytestmark = pytest.mark.e2e
AUTH = "PREFECT_API_AUTH_STRING"
ASKS = "PREFECT_SERVER_API_AUTH_STRING"


@dataclass(frozen=True)
class Closed:
    """A server that asks for a password."""

    layout: Layout
    ports: Ports
    credentials: Credentials

    @property
    def api(self) -> str:
        """Its address."""
        return f"{prefect_url(self.ports)}/api"

    @property
    def env(self) -> dict[str, str]:
        """Of a client that shows the password."""
        return client_environment(self.layout, self.ports, self.credentials)


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Closed]:
    """The stack's own server, with `ROUNDHOUSE_STACK_AUTH` set."""
    layout = Layout.of(tmp_path_factory.mktemp("closed"))
    layout.make()
    server = Closed(layout, choose(layout.ports, {}, lambda _: False), load_or_make(layout))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROUNDHOUSE_STACK_AUTH", "true")
        piece = prefect_server(layout, server.ports, server.credentials)
    assert piece.env[ASKS] == server.credentials.prefect_auth.get_secret_value()
    daemon = Daemon(layout, piece.name)
    try:
        piece.up(layout)  # its probe writes, reads and deletes with the password
        yield server
    finally:
        daemon.stop()


def test_the_api_takes_nobody_without_the_password(closed: Closed) -> None:
    """Each kind of request is refused with none, a wrong one, half of one; its health is told."""
    right = closed.credentials.prefect_auth.get_secret_value()
    user = right.partition(":")[0]
    for auth in (None, (user, "wrong"), (user, ""), ("", right.partition(":")[2])):
        with httpx.Client(base_url=closed.api, auth=auth, trust_env=False) as client:
            assert client.get("/health").status_code == httpx.codes.OK
            for method, path in (
                ("GET", "/admin/settings"),
                ("POST", "/flow_runs/filter"),
                ("POST", "/work_pools/"),
                ("DELETE", "/variables/name/x"),
            ):
                answer = client.request(method, path, json={} if method == "POST" else None)
                assert answer.status_code == httpx.codes.UNAUTHORIZED, (auth, method, path)


def test_prefects_client_is_refused_without_and_taken_with_it(closed: Closed) -> None:
    """The stack's client makes pools with it; without it the error is ours and says what to do."""
    with client_of(closed.env) as client:
        pools.prepare(client, 1, ROOT)
        assert {pool.name for pool in client.read_work_pools()} >= set(pools.POOLS)
    with SyncPrefectClient(api=closed.api) as stranger:
        with pytest.raises(PrefectHTTPStatusError, match="401"):
            stranger.read_work_pools()
        with pytest.raises(InputError, match=AUTH), server_errors(stranger, "release/default"):
            stranger.read_deployment_by_name("release/default")


def test_a_worker_works_with_it_and_ends_without(closed: Closed) -> None:
    """`infra.worker` registers with its pool where it has the password, and else says 401."""
    with client_of(closed.env) as client:
        pools.prepare(client, 1, ROOT)
    command = [sys.executable, "-m", "infra.worker", "--pool", "cpu", "--name", "w", "--run-once"]
    said = {}
    for name, env in (("with", closed.env), ("without", closed.env | {AUTH: ""})):
        done = subprocess.run(
            command,
            env=child_environment(**env),
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        said[name] = (done.returncode, done.stdout + done.stderr)
    assert said["with"][0] == 0, said["with"]
    assert said["without"][0] != 0
    assert "401" in said["without"][1]


def test_commands_say_what_they_lack(closed: Closed) -> None:
    """`roundhouse release` without the password: exit 2, no traceback, and its name."""
    target = ("release", "acme/base", "--to", "acme/out", "--recipe", "light")
    said = roundhouse(*target, **(closed.env | {AUTH: ""}))
    assert said.status == InputError.exit_code
    assert AUTH in said.err
    known = roundhouse(*target, **closed.env)
    assert AUTH not in known.err
    assert "release/default does not exist" in known.err


def test_the_password_is_kept_by_its_owner_alone(closed: Closed, tmp_path: Path) -> None:
    """It is random, in a file that nobody else reads, and joins those of an older stack."""
    path = closed.layout.credentials
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IRUSR | stat.S_IWUSR
    before = load_or_make(closed.layout)
    assert len(before.prefect_auth.get_secret_value()) > 32
    kept = json.loads(path.read_bytes())
    del kept["prefect_auth"]
    older = Layout.of(tmp_path)
    older.make()
    older.credentials.write_text(json.dumps(kept))
    after = load_or_make(older)
    assert after.model_dump(exclude={"prefect_auth"}) == before.model_dump(exclude={"prefect_auth"})
    assert after.prefect_auth != before.prefect_auth
    assert load_or_make(older) == after
