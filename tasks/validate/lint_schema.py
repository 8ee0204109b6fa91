"""The config against the compressed-tensors that the serving environment has, in a child process.

The schema changes between versions of the library, so the version that will read the release is
the one to ask, and only the serving environment has it.
"""

import json
import tempfile
from pathlib import Path

from tasks.core.errors import PermanentError
from tasks.core.gate_records import Check
from tasks.core.process import Child

PROBE = "tasks.validate.schema_probe"
DEADLINE = 300.0
NAME = "config.schema"
REQUIRED = "the compressed-tensors of the serving environment accepts the config"


def check(candidate: Path, serve_python: Path) -> Check:
    """The check `config.schema`; it fails where the serving environment is missing."""
    if not serve_python.is_file():
        return _failed(
            f"there is no {serve_python}",
            "a serving environment: run `make serve`, or set ROUNDHOUSE_SERVE_PYTHON to its Python",
        )
    answers: list[str] = []
    with tempfile.TemporaryDirectory() as scratch:
        # -P keeps the working folder's modules from standing in for the library's.
        command = [str(serve_python), "-P", "-m", PROBE, str(candidate.resolve() / "config.json")]
        try:
            with Child(command, Path(scratch) / "probe.log") as child:
                child.follow(answers.append, deadline=DEADLINE)
        except PermanentError as error:
            return _failed(str(error), REQUIRED)
    return _judge(answers)


def _judge(answers: list[str]) -> Check:
    """The probe's last line is its answer; libraries may print before it."""
    answer = json.loads(answers[-1])
    seen = f"compressed-tensors {answer['version']}: {answer['error'] or 'accepted'}"
    return Check(name=NAME, passed=not answer["error"], seen=seen, required=REQUIRED)


def _failed(seen: str, required: str) -> Check:
    return Check(name=NAME, passed=False, seen=seen, required=required)
