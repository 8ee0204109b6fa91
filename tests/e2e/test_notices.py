"""Somebody is told of a release that fails, through the block that they made."""

import http.server
import json
import queue
import threading
from collections.abc import Iterator

import pytest
from prefect import flow
from prefect.blocks.webhook import Webhook
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.follow import submit
from infra.local.layout import ROOT
from infra.local.notices import BLOCK
from infra.local.pools import prepare
from tasks.core.errors import Undecided
from tasks.orchestration import failures_told
from tests.e2e.house import House

pytestmark = pytest.mark.e2e
TOLD_SECONDS = 120


@pytest.fixture
def inbox() -> Iterator[tuple[str, "queue.Queue[bytes]"]]:
    """A place that takes webhooks: its address, and what came."""
    came: queue.Queue[bytes] = queue.Queue()

    class Inbox(http.server.BaseHTTPRequestHandler):
        """Keeps every body."""

        def do_POST(self) -> None:
            came.put(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Stay silent."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Inbox) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/notices", came
        server.shutdown()


def test_a_failed_release_is_told(house: House, inbox: tuple[str, "queue.Queue[bytes]"]) -> None:
    """A release of a base that is not there: its run, its reason and a link arrive at the block."""
    address, came = inbox
    api = house.env["PREFECT_API_URL"]
    with (
        temporary_settings({PREFECT_API_URL: api}),
        get_client(sync_client=True) as client,
    ):
        Webhook(url=address).save(BLOCK, overwrite=True)
        try:
            prepare(client, 1, ROOT)
            run = submit(client, {"base": "roundhouse/nowhere", "target": "roundhouse/x"})
            told = json.loads(came.get(timeout=TOLD_SECONDS))
        finally:
            Webhook.delete(BLOCK)
    assert told["state"] == "Failed"
    assert "roundhouse/nowhere to roundhouse/x" in told["run"]
    assert "no repository roundhouse/nowhere" in told["message"]
    assert str(run.id) in told["url"]


@flow(name="release")
def _undecided() -> None:
    """A release whose gate decides nothing."""
    with failures_told():
        raise Undecided("demo-1 must not leave: INCONCLUSIVE", found="KL: open", remedy="more")


def test_an_undecided_gate_is_told(house: House, inbox: tuple[str, "queue.Queue[bytes]"]) -> None:
    """A release that ends with INCONCLUSIVE: a notice of its own, with what was left open."""
    address, came = inbox
    api = house.env["PREFECT_API_URL"]
    with (
        temporary_settings({PREFECT_API_URL: api}),
        get_client(sync_client=True) as client,
    ):
        Webhook(url=address).save(BLOCK, overwrite=True)
        try:
            prepare(client, 1, ROOT)
            with pytest.raises(Undecided):
                _undecided()
            told = [json.loads(came.get(timeout=TOLD_SECONDS)) for _ in range(2)]
        finally:
            Webhook.delete(BLOCK)
    (undecided,) = [notice for notice in told if notice["state"] == "Undecided"]
    assert undecided["found"] == "KL: open"
    assert "INCONCLUSIVE" in undecided["message"]
