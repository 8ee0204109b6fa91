"""A job for a child process: JSON in, JSON out, and our own errors carried back.

The heavy libraries live in children. A stage calls `run_job`, which starts the child's module; that
module calls `serve`. Job, result and failure are files in the stage's scratch folder.
"""

import json
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from tasks.core.digest import indented_json
from tasks.core.errors import PermanentError, RoundhouseError, error_from
from tasks.core.manifest import Frozen
from tasks.core.process import Child

J = TypeVar("J", bound=Frozen)
R = TypeVar("R", bound=Frozen)
JOB, RESULT, FAILURE, LOG = "job.json", "result.json", "failure.json", "worker.log"


def run_job(
    module: str,
    job: Frozen,
    result: type[R],
    *,
    scratch: Path,
    env: Mapping[str, str] | None = None,
    on_line: Callable[[str], None] = lambda _: None,
) -> R:
    """Let a child do one job; its working folder and its files are in `scratch`.

    Args:
        module: module that calls `serve`.
        job: what to do.
        result: type of what comes back.
        scratch: takes job, result and log.
        env: the child's environment; without secrets where not given.
        on_line: called with each line the child prints.

    Raises:
        WorkerLost: the child was killed from outside.
        RoundhouseError: whatever of our own errors the child raised.
        PermanentError: it failed in another way; the message has the end of its output.
    """
    scratch = scratch.resolve()
    for name in (RESULT, FAILURE):
        (scratch / name).unlink(missing_ok=True)
    (scratch / JOB).write_text(indented_json(job))
    command = [sys.executable, "-m", module, str(scratch / JOB)]
    with Child(command, scratch / LOG, env=env, cwd=scratch) as child:
        try:
            child.follow(on_line)
        except PermanentError:
            _raise_told(scratch / FAILURE)
            raise
    return result.model_validate_json((scratch / RESULT).read_bytes())


def serve(job: type[J], work: Callable[[J], Frozen]) -> int:
    """Do the job named on the command line; the return value is the exit status.

    Args:
        job: type of the job.
        work: does it and returns the result, or raises an error of our own.
    """
    path = Path(sys.argv[1])
    try:
        result = work(job.model_validate_json(path.read_bytes()))
    except RoundhouseError as error:
        return _failed(path, error)
    except Exception as error:  # noqa: BLE001 - the parent hears of it, the log has the traceback
        traceback.print_exc()
        found = f"{type(error).__name__}: {error}"
        return _failed(path, PermanentError("the child process failed", found=found))
    _put(path.with_name(RESULT), indented_json(result))
    return 0


def _failed(path: Path, error: RoundhouseError) -> int:
    _put(path.with_name(FAILURE), json.dumps(error.told()))
    sys.stderr.write(f"{error}\n")
    return error.exit_code


def _put(path: Path, text: str) -> None:
    temporary = path.with_suffix(".new")
    temporary.write_text(text)
    temporary.replace(path)


def _raise_told(path: Path) -> None:
    if not path.is_file():
        return
    told = json.loads(path.read_bytes())
    told["remedy"] = told["remedy"] or f"read {path.with_name(LOG)}"
    raise error_from(**told) from None
