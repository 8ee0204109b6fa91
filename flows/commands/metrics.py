"""`roundhouse metrics`: what Prometheus may know, as an endpoint or in a file."""

import threading
from pathlib import Path
from typing import Annotated

import typer

from flows.terminal import connect, err
from tasks.core.errors import InputError

Listen = Annotated[str, typer.Option(help="HOST:PORT to answer on until interrupted.")]
Write = Annotated[
    Path | None, typer.Option(help="Write once into a file, for a textfile collector, and end.")
]


def metrics(listen: Listen = "127.0.0.1:9464", write: Write = None) -> None:
    """Tell Prometheus of runs, queues, verdicts, stage times and cost."""
    host, port = _address(listen)
    connect()
    from prefect.client.orchestration import get_client
    from prometheus_client import CollectorRegistry, start_http_server, write_to_textfile

    from flows.metrics import Releases

    registry = CollectorRegistry(auto_describe=False)
    with get_client(sync_client=True) as client:
        registry.register(Releases(client))
        if write is not None:
            write_to_textfile(str(write), registry)
            return
        server, thread = start_http_server(port, host, registry)
        err.print(f"http://{host}:{server.server_port}/metrics", highlight=False)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            server.shutdown()
            thread.join()


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal():
        raise InputError("--listen takes HOST:PORT", expected="127.0.0.1:9464", found=text)
    return host, int(port)
