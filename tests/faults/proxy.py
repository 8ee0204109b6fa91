"""A real proxy between a client and a server: what goes through it can be broken on purpose.

It listens on a port of its own and serves one request a connection, so that each can be told from
the next; a client that is not broken sees the server as it is.
"""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Self

from tests.faults.fault import Ended, Fault, Pipe

HOST = "127.0.0.1"
PIECE = 1 << 16
LIMIT = 1 << 20
HEAD_END = b"\r\n\r\n"
HOP = (b"connection:", b"keep-alive:", b"proxy-connection:")
CONTINUE = b"100"


@dataclass
class Ends:
    """Both directions of one connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def head(self) -> bytes:
        """The bytes up to and with the empty line."""
        return await self.reader.readuntil(HEAD_END)

    def reset(self) -> None:
        """End it with RST, whatever was still on the way."""
        sock = self.writer.get_extra_info("socket")
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


class Proxy:
    """A proxy on a thread of its own; use it as a context manager.

    Args:
        port: of the server on this machine.

    Attributes:
        url: where clients go.
    """

    def __init__(self, port: int) -> None:
        self._server_port = port
        self._faults: list[Fault] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._listening: asyncio.Server | None = None
        self._port = 0
        self._running: set[asyncio.Task[None]] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        self._do(self._listen())
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._refuse())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def url(self) -> str:
        """Where clients go."""
        return f"http://{HOST}:{self._port}"

    @contextmanager
    def broken(self, *faults: Fault) -> Iterator[None]:
        """Let these happen, until the end and at least once each.

        Raises:
            AssertionError: one of them did not happen.
        """
        self._faults = list(faults)
        try:
            yield
        finally:
            self._faults = []
        idle = [f"{fault.method} {fault.path}" for fault in faults if not fault.met]
        assert not idle, f"never happened: {idle}"

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """Refuse every connection, and end those that are open."""
        self._do(self._refuse())
        try:
            yield
        finally:
            self._do(self._listen())

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _listen(self) -> None:
        self._listening = await asyncio.start_server(
            self._serve, HOST, self._port, limit=LIMIT, reuse_address=True
        )
        self._port = self._listening.sockets[0].getsockname()[1]

    async def _refuse(self) -> None:
        if self._listening is not None:
            self._listening.close()
        tasks = list(self._running)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        client = Ends(reader, writer)
        try:
            await self._one(client)
            writer.close()
        except Ended as end:
            if end.reset:
                client.reset()
            writer.close()
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            client.reset()
        finally:
            self._running.discard(task)

    async def _one(self, client: Ends) -> None:
        head = await client.head()
        method, path = head.decode("latin-1").split(" ", 2)[:2]
        fault = next((f for f in self._faults if f.takes(method, path)), None) or Fault("", "")
        if fault.before is not None:
            await asyncio.to_thread(fault.before)
        if fault.stall:
            await asyncio.sleep(fault.stall)
            raise Ended(reset=True)
        if fault.answer is not None:
            await _answer(client, head, fault)
            return
        await self._through(client, head, fault)

    async def _through(self, client: Ends, head: bytes, fault: Fault) -> None:
        server = Ends(*await asyncio.open_connection(HOST, self._server_port, limit=LIMIT))
        server.writer.write(_closing(head))
        sending = asyncio.create_task(_pump(client.reader, server.writer, fault.up()))
        answering = asyncio.create_task(_answered(server, client, fault))
        try:
            done, _ = await asyncio.wait({sending, answering}, return_when="FIRST_EXCEPTION")
            for task in sorted(done, key=lambda task: task is answering):
                task.result()
        finally:
            for task in (sending, answering):
                task.cancel()
            await asyncio.gather(sending, answering, return_exceptions=True)
            server.reset()


async def _answered(server: Ends, client: Ends, fault: Fault) -> None:
    """Hand the answer on; what was still sent by the client is of no interest then."""
    head = await server.head()
    while head.split(maxsplit=2)[1] == CONTINUE:
        client.writer.write(head)
        head = await server.head()
    if fault.lost:
        await server.reader.read()
        if fault.after is not None:
            await asyncio.to_thread(fault.after)
        raise Ended(reset=True)
    client.writer.write(head)
    await _pump(server.reader, client.writer, fault.down())
    await client.writer.drain()
    raise Ended(reset=False)


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter, pipe: Pipe) -> None:
    while data := await source.read(PIECE):
        sink.write(await pipe(data))
        await sink.drain()


async def _answer(client: Ends, head: bytes, fault: Fault) -> None:
    """Answer in the server's place, once the request's body is here."""
    assert fault.answer is not None
    status, headers = fault.answer
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:") and b"100-continue" not in head.lower():
            await client.reader.readexactly(int(line.split(b":")[1]))
    told = {"Content-Length": str(len(fault.body)), "Connection": "close", **headers}
    lines = [
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
        *(f"{k}: {v}" for k, v in told.items()),
    ]
    client.writer.write("\r\n".join(lines).encode() + HEAD_END + fault.body)
    await client.writer.drain()


def _closing(head: bytes) -> bytes:
    """A request's head that asks the server to close the connection after its answer."""
    lines = head.removesuffix(HEAD_END).split(b"\r\n")
    kept = [line for line in lines if not line.lower().startswith(HOP)]
    return b"\r\n".join([*kept, b"Connection: close"]) + HEAD_END
