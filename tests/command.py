"""Runs the `roundhouse` command, far from any stack."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from typer.testing import CliRunner

from flows.cli import app
from tasks.core.errors import RoundhouseError

ROOT = Path(__file__).parents[1]
NOWHERE = "http://127.0.0.1:9/api"


@dataclass(frozen=True)
class Said:
    """What a command did."""

    status: int
    out: str
    err: str


def roundhouse(*arguments: str, **env: str) -> Said:
    """Run it as a user does; whatever goes wrong, no traceback may be shown."""
    given = {"PREFECT_API_URL": NOWHERE, "COLUMNS": "200", "HF_HUB_DISABLE_XET": "1"} | env
    done = subprocess.run(
        [sys.executable, "-m", "flows", *arguments],
        env=os.environ | given,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return Said(done.returncode, done.stdout, done.stderr)


def roundhouse_here(*arguments: str, **env: str) -> Said:
    """Run it in this process, which saves the seconds of its start."""
    done = CliRunner().invoke(app, arguments, env={"PREFECT_API_URL": NOWHERE, **env})
    error = done.exception
    if isinstance(error, RoundhouseError):
        return Said(error.exit_code, done.stdout, f"{done.stderr}{error}")
    assert error is None or isinstance(error, SystemExit), done.output
    return Said(done.exit_code, done.stdout, done.stderr)
