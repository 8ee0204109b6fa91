"""Webhooks of the Hub, sent over HTTP to a running receiver."""

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
import uvicorn
from pydantic import SecretStr

from flows.hint import application
from tests.conftest import free_port

SECRET = "webhook-canary-ü"
COMMIT = "a" * 40
WEBHOOK: dict[str, Any] = {
    "event": {"action": "update", "scope": "repo.content"},
    "repo": {"type": "model", "name": "acme/base", "headSha": COMMIT, "private": False},
    "updatedRefs": [{"ref": "refs/heads/main", "oldSha": "b" * 40, "newSha": COMMIT}],
    "webhook": {"id": "1", "version": 3},
}


@dataclass
class Receiver:
    """A running receiver and the hints that it gave."""

    url: str
    hints: list[str] = field(default_factory=list)

    def send(self, body: Any, secret: str = SECRET) -> int:
        """Post a body as the Hub does; the status."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {b"X-Webhook-Secret": secret.encode()}
        return httpx.post(self.url, content=data, headers=headers, trust_env=False).status_code


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    port = free_port()
    made = Receiver(f"http://127.0.0.1:{port}/")
    app = application(SecretStr(SECRET), made.hints.append)
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield made
    server.should_exit = True
    thread.join()


@pytest.fixture(autouse=True)
def empty(receiver: Receiver) -> None:
    receiver.hints.clear()


def test_a_new_head_of_main_is_a_hint(receiver: Receiver) -> None:
    """The hint names the new commit."""
    assert receiver.send(WEBHOOK) == 202
    assert receiver.hints == [COMMIT]


@pytest.mark.parametrize("secret", ["", "webhook-canary", f"{SECRET}x", SECRET.upper()])
def test_a_wrong_secret_is_refused(receiver: Receiver, secret: str) -> None:
    """Without the very secret there is no hint, whatever the body says."""
    assert receiver.send(WEBHOOK, secret) == 401
    assert receiver.hints == []


@pytest.mark.parametrize(
    "change",
    [
        {"updatedRefs": [{"ref": "refs/pr/1", "newSha": COMMIT}]},
        {"updatedRefs": []},
        {"event": {"action": "create", "scope": "discussion"}},
        {"repo": {"type": "dataset", "name": "acme/data", "headSha": COMMIT}},
    ],
)
def test_what_moves_no_model_is_ignored(receiver: Receiver, change: dict[str, Any]) -> None:
    """Pull requests, discussions and data sets give no hint."""
    assert receiver.send(WEBHOOK | change) == 204
    assert receiver.hints == []


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"event": 1}', b"\xff"])
def test_what_is_no_webhook_is_refused(receiver: Receiver, body: bytes) -> None:
    """Bodies that are no webhook are told so and give no hint."""
    assert receiver.send(body) == 400
    assert receiver.hints == []


def test_a_huge_body_is_refused(receiver: Receiver) -> None:
    """No more is read than a webhook can have."""
    assert receiver.send(b"x" * (3 << 20)) == 413
