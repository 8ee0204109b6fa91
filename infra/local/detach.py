"""Starts a command that outlives whoever asked for it.

    python -m infra.local.detach PIDFILE DIGEST LOG COMMAND ARGUMENT…

The command leads a session of its own and writes to LOG. It notes its own id and start time in
PIDFILE before it becomes the command, so there is no moment at which it runs unnoted. Exits when
the command has been started, with status 1 if it could not be.
"""

import os
import sys
from pathlib import Path

import psutil

from infra.local.pidfile import PidFile


def main(pidfile: Path, digest: str, log: Path, command: list[str]) -> int:
    """Start the command; its failure to start is told through a pipe that closes on exec."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    if os.fork() == 0:
        _become(pidfile, digest, log, command, writer)
    os.close(writer)
    with os.fdopen(reader) as stream:
        failure = stream.read()
    sys.stderr.write(failure)
    return 1 if failure else 0


def _become(pidfile: Path, digest: str, log: Path, command: list[str], writer: int) -> None:
    try:
        os.setsid()
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((nothing, 0), (output, 1), (output, 2)):
            os.dup2(source, target)
        PidFile.of(psutil.Process(), digest).write(pidfile)
        os.execvp(command[0], command)  # noqa: S606 - an argument list
    except OSError as error:
        os.write(writer, f"{command[0]}: {error.strerror}".encode())
    finally:
        os._exit(1)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), sys.argv[4:]))
