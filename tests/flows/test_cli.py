"""The command line: what it says, and with which exit code it ends."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command import NOWHERE, ROOT, roundhouse
from tests.conftest import HubServer, free_port
from tests.small_base import base_files

FIXTURE = ROOT / "tests" / "fixtures" / "gemma-4-31b-it"


def test_the_reference_release_is_planned_from_its_headers() -> None:
    """62 GB become about 20 GB, from config and headers alone; this machine is too small for it."""
    said = roundhouse("plan", str(FIXTURE), "--json")
    estimate = json.loads(said.out)["estimate"]
    assert estimate["base"] == pytest.approx(62.5e9, rel=0.01)
    assert estimate["release"] == pytest.approx(20.4e9, rel=0.01)
    assert estimate["quantized_modules"] == 410
    assert said.status == 2


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--recipe", "no-such"), "there is no recipe no-such"),
        (("--set", "tuning.itres=5"), "tuning.itres"),
        (("--set", "group_size=32"), "group_size"),
        (("--set", "calibration.nsamples=0"), "calibration.nsamples"),
        (("--set", "tuning.iters"), "KEY=VALUE"),
    ],
)
def test_a_wrong_recipe_ends_before_anything_is_asked(
    arguments: tuple[str, ...], told: str
) -> None:
    """Bad input is named, with what was expected; exit 2, and no server was asked."""
    said = roundhouse("release", "acme/base", "--to", "acme/out", *arguments)
    assert said.status == 2
    assert told in said.err


@pytest.mark.parametrize(
    ("base", "revision", "who", "told"),
    [
        ("acme/nowhere", "main", "roundhouse", "acme/nowhere"),
        ("acme/for-plans", "no-branch", "roundhouse", "no-branch"),
        ("acme/closed", "main", "", "HF_TOKEN"),
    ],
)
def test_a_base_that_cannot_be_read_is_bad_input(
    hub_server: HubServer, base: str, revision: str, who: str, told: str
) -> None:
    """An unknown base or revision and a closed one without a token end with exit 2."""
    hub_server.seed("acme/for-plans", base_files())
    hub_server.seed("acme/closed", base_files(), gated="manual")
    env = {"HF_ENDPOINT": hub_server.url, "HF_TOKEN": hub_server.token(who)}
    said = roundhouse("plan", base, "--revision", revision, "--recipe", "demo", **env)
    assert said.status == 2
    assert told in said.err
    assert "to do" in said.err


def test_a_hub_that_is_away_is_worth_another_try() -> None:
    """What fails outside ends with exit 3."""
    env = {"HF_ENDPOINT": f"http://127.0.0.1:{free_port()}", "HF_TOKEN": ""}
    said = roundhouse("plan", "acme/base", "--recipe", "demo", **env)
    assert said.status == 3
    assert "HubUnavailable" in said.err


def test_a_server_that_is_away_is_worth_another_try() -> None:
    """A release whose Prefect server does not answer ends with exit 3 and says where it looked."""
    said = roundhouse("release", "acme/base", "--to", "acme/out")
    assert said.status == 3
    assert "does not answer" in said.err
    assert NOWHERE in said.err


def test_a_checkpoint_that_fails_its_checks_ends_with_1(tmp_path: Path) -> None:
    """`lint` names what fails and exits 1."""
    for name, content in base_files().items():
        (tmp_path / name).write_bytes(content)
    said = roundhouse("lint", str(tmp_path), "--json")
    failed = [check["name"] for check in json.loads(said.out) if not check["passed"]]
    assert said.status == 1
    assert "config.scheme" in failed


def test_debug_shows_the_traceback() -> None:
    """`--debug` is for those who want to see where an error was raised."""
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "flows",
            "--debug",
            "release",
            "a/b",
            "--to",
            "a/c",
            "--recipe",
            "x",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" in done.stderr
    assert "RecipeError" in done.stderr


def test_without_a_stack_the_remedy_is_said(tmp_path: Path) -> None:
    """A release with no server configured and no stack says how to get one."""
    env = {k: v for k, v in os.environ.items() if k != "PREFECT_API_URL"}
    done = subprocess.run(
        [sys.executable, "-m", "flows", "release", "a/b", "--to", "a/c"],
        env=env | {"ROUNDHOUSE_HOME": str(tmp_path)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "roundhouse up" in done.stderr
