"""A stranger's program in a copy of this process that may use only so much time and memory.

Neither a thread nor an alarm ends one long call inside the interpreter (`'a' * 10 ** 11`); killing
the process that makes it does. The copy is forked (fork(2)), so that what was loaded here, a
tokenizer say, is there without being loaded again, and speaks JSON over a pipe. Its memory is
limited by RLIMIT_AS (getrlimit(2)), counted from what it has when it starts.
"""

import json
import multiprocessing
import resource
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import ForkProcess
from types import TracebackType
from typing import Any, Self

import psutil

from tasks.core.guardian import die_with_parent

FORK = multiprocessing.get_context("fork")
DONE, FAILED = b"+", b"-"
LONGEST_ERROR = 300
DYING_SECONDS = 1.0


@dataclass(frozen=True)
class Limits:
    """What one answer may take.

    Attributes:
        seconds: of wall time.
        memory: bytes, beyond those of the process that asks.
        characters: of the answer.
    """

    seconds: float = 30.0
    memory: int = 1 << 30
    characters: int = 1 << 22


class Unanswered(Exception):
    """The program failed, or went over a limit; the text says which."""


class Confined:
    """A function that runs in a process of its own; use it as a context manager.

    The process starts with the first question. After one that it did not answer it is ended, and
    the next question starts another.

    Args:
        work: from a JSON value to a text.
        limits: of each answer.
    """

    def __init__(self, work: Callable[[Any], str], limits: Limits | None = None) -> None:
        self._work, self._limits = work, limits or Limits()
        self._running: tuple[ForkProcess, Connection] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    def ask(self, question: object) -> str:
        """What the function makes of the question.

        Raises:
            Unanswered: it raised an error, died, or went over a limit.
        """
        process, pipe = self._running = self._running or self._started()
        try:
            pipe.send_bytes(json.dumps(question).encode())
            answer = pipe.recv_bytes() if pipe.poll(self._limits.seconds) else b""
        except (EOFError, OSError):
            process.join(DYING_SECONDS)
            raise Unanswered(f"its process died: {self._end()}") from None
        if answer[:1] == DONE:
            return answer[1:].decode(errors="surrogatepass")
        self._end()
        told = answer[1:].decode(errors="surrogatepass")
        raise Unanswered(told or f"no end after {self._limits.seconds:g} s")

    def _started(self) -> tuple[ForkProcess, Connection]:
        ours, theirs = FORK.Pipe()
        arguments = (ours, theirs, self._work, self._limits)
        process = FORK.Process(target=_serve, args=arguments, daemon=True)
        process.start()
        theirs.close()
        return process, ours

    def _end(self) -> str:
        """End the process; how it ended by itself, where it did."""
        if not self._running:
            return ""
        process, pipe = self._running
        self._running = None
        pipe.close()
        process.kill()
        process.join()
        status = process.exitcode or 0
        process.close()
        return signal.Signals(-status).name if status < 0 else f"exit status {status}"


def _serve(ours: Connection, pipe: Connection, work: Callable[[Any], str], limits: Limits) -> None:
    """Answer questions until nobody asks."""
    ours.close()
    die_with_parent()
    most = psutil.Process().memory_info().vms + limits.memory
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(EOFError, KeyboardInterrupt):
        while True:
            pipe.send_bytes(_answer(json.loads(pipe.recv_bytes()), work, limits))


def _answer(question: object, work: Callable[[Any], str], limits: Limits) -> bytes:
    try:
        text = work(question)
    except MemoryError:
        return FAILED + f"more than {limits.memory >> 20} MiB of memory wanted".encode()
    except Exception as error:  # noqa: BLE001 - whatever a stranger's program raises
        told = f"{type(error).__name__}: {error}"[:LONGEST_ERROR]
        return FAILED + told.encode(errors="surrogatepass")
    if len(text) > limits.characters:
        return FAILED + f"{len(text)} characters; {limits.characters} are allowed".encode()
    return DONE + text.encode(errors="surrogatepass")
