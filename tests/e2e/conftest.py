"""The embedded stack and one demo release on it, shared by all end-to-end tests."""

import json
import os
from collections.abc import Iterator

import pytest

from infra.local import stack as embedded
from tests.e2e.house import BASE, TARGET, Demo, House


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A stack of its own for this test run, stopped at the end."""
    home = tmp_path_factory.mktemp("house")
    try:
        started = embedded.up(home)
        inherited = {k: v for k, v in os.environ.items() if k != "HF_TOKEN"}
        yield House(home, inherited | started.env(), started.prefect)
    finally:
        embedded.down(home)


@pytest.fixture(scope="session")
def demo(house: House) -> Demo:
    """The release that `make demo` makes."""
    written = house.home / "demo.json"
    finished = house.roundhouse(
        "release", BASE, "--to", TARGET, "--recipe", "demo", "--write", str(written)
    )
    assert finished.status == 0, finished.out + finished.err
    return Demo(finished, json.loads(written.read_text()))
