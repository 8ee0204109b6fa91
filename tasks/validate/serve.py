"""Serves one model with vLLM in a child process, for as long as a `with` block lasts."""

import fcntl
import re
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import SecretStr

from tasks.core.errors import InputError, ServingError, ServingUnavailable
from tasks.core.process import Child
from tasks.core.progress import Reporter
from tasks.core.recipe_validation import Serving
from tasks.core.settings import Settings
from tasks.validate.engine import Engine, command, environment, find_engine
from tasks.validate.server import Server

HOST = "127.0.0.1"
POLL_SECONDS = 0.5
PHASES = (  # what the log shows, what that means, how much of the start is over
    ("non-default args", "reading the model's config", 0.3),
    ("Initializing a V1 LLM engine", "starting the engine", 0.6),
    ("Starting to load model", "loading the weights", 0.7),
    ("init engine", "opening the server", 0.9),
)
ERROR = re.compile(r"^.*?\b(\w+(?:Error|Exception): .+(?:\n[ \t]+\S.*)?)$", re.MULTILINE)
"""An exception's last line, and the indented one below it that pydantic's errors have."""
CAUSE_LENGTH = 400
MEMORY = re.compile(r"out of memory|No available memory|larger than the available KV cache")


@contextmanager
def serve(
    model: Path,
    *,
    name: str,
    serving: Serving,
    settings: Settings,
    log: Path,
    reporter: Reporter,
    text_only: bool = False,
) -> Iterator[Server]:
    """Serve a checkpoint; the block begins when a real request has been answered.

    One server at a time on a machine: another `serve` waits for its turn. Whatever happens to this
    process, no process of the server's outlives it.

    Args:
        model: folder of the checkpoint.
        name: what requests call it.
        serving: the recipe's choices.
        settings: name the serving environment's Python and the port.
        log: takes the server's output; an older one is replaced.
        reporter: is told how far the start is.
        text_only: refuse images.

    Raises:
        ServingError: no serving environment, or the server dies or is late.
        InputError: the port that the settings name is taken.
    """
    engine = find_engine(settings.serve_python)
    key = SecretStr(secrets.token_urlsafe(24))
    log = log.absolute()
    log.parent.mkdir(parents=True, exist_ok=True)
    with _turn(settings.home / "serve.lock", reporter):
        log.unlink(missing_ok=True)
        port = _port(settings.serve_port)
        line = command(engine, model, name, port, serving, text_only=text_only)
        env = environment(engine, key.get_secret_value())
        with (
            Child(line, log, env=env, cwd=log.parent) as child,
            Server(f"http://{HOST}:{port}", name, key, log, engine) as server,
        ):
            seconds = _wait(child, server, serving.startup_seconds, reporter)
            reporter.note(f"{name}: {engine} answered after {seconds:.0f} s")
            yield server


def _wait(child: Child, server: Server, deadline: float, reporter: Reporter) -> float:
    """Wait until a request is answered; returns how many seconds that took."""
    started = time.monotonic()
    while (waited := time.monotonic() - started) < deadline:
        if child.returncode is not None:
            raise _died(child, server.engine)
        if _answers(server):
            return waited
        reporter.update(*_phase(server.log.read_text(errors="replace"), server.name))
        time.sleep(POLL_SECONDS)
    raise ServingError(
        f"vLLM did not answer within {deadline:.0f} s",
        expected="an answer to a first request",
        found=child.tail(),
        remedy=f"raise validation.serving.startup_seconds, or read {server.log}",
    )


def _answers(server: Server) -> bool:
    try:
        server.post("/v1/completions", prompt=[0], max_tokens=1)
    except ServingUnavailable:
        return False
    return True


def _phase(log: str, name: str) -> tuple[float, str]:
    reached = [(share, text) for mark, text, share in PHASES if mark in log]
    share, text = reached[-1] if reached else (0.0, "importing vLLM")
    return share, f"serving {name}: {text}"


def _died(child: Child, engine: Engine) -> ServingError:
    log = child.log.read_text(errors="replace")
    errors = ERROR.findall(log)
    memory = "; take a larger machine, or lower validation.serving.max_model_len"
    return ServingError(
        f"vLLM ended with status {child.returncode} before it served",
        expected=f"{engine} serving the checkpoint",
        found=_cause(errors) if errors else child.tail(),
        remedy=f"read {child.log}{memory if MEMORY.search(log) else ''}",
    )


def _cause(errors: list[str]) -> str:
    """The error that came first of the last failure: later ones only say that a child failed."""
    telling = [line for line in errors if "See root cause above" not in line]
    return (telling or errors)[-1][:CAUSE_LENGTH]


def _port(wanted: int) -> int:
    """The port to listen on: the wanted one if it is free, or any free one for 0."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, wanted))
        except OSError as error:
            raise InputError(
                f"port {wanted} is taken",
                found=str(error),
                remedy="free it, or set ROUNDHOUSE_SERVE_PORT to another; 0 takes a free one",
            ) from None
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def _turn(lock: Path, reporter: Reporter) -> Iterator[None]:
    """Hold the machine's only place for a server; the kernel frees it if this process dies."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as stream:
        while True:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                reporter.update(0.0, "waiting for another model server on this machine")
                time.sleep(POLL_SECONDS)
        yield
