"""The Hub stand-in, driven by an unmodified ``huggingface_hub`` over real HTTP."""

import signal
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub.constants
import pytest

from tests.infra.hub.case import Server


@pytest.fixture(autouse=True)
def plain_transfer(monkeypatch: pytest.MonkeyPatch) -> None:
    # the client reads this setting from the environment when it is first imported
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("hub"))
    yield server
    assert server.stop() == 0


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path / "own")
    yield server
    server.stop(signal.SIGKILL)


@pytest.fixture
def repo(server: Server, request: pytest.FixtureRequest) -> str:
    return str(server.api().create_repo(f"acme/{request.node.name}").repo_id)
