"""What a proxy does to a request: nothing, or one thing that breaks."""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass, field

ENOUGH = 1_000_000


class Ended(Exception):
    """Raised by a pipe to end the connection; `reset` tells how."""

    def __init__(self, *, reset: bool) -> None:
        super().__init__("reset" if reset else "closed")
        self.reset = reset


class Pipe:
    """Hands bytes of a body on as they are."""

    async def __call__(self, data: bytes) -> bytes:
        """The bytes to send in place of these."""
        return data


@dataclass
class Cut(Pipe):
    """Ends the connection after so many bytes: by a reset, or as if that were all."""

    after: int
    reset: bool = True
    sent: int = 0

    async def __call__(self, data: bytes) -> bytes:
        """The bytes that still go through."""
        if self.sent >= self.after:
            raise Ended(reset=self.reset)
        let = data[: self.after - self.sent]
        self.sent += len(let)
        return let


@dataclass
class Flip(Pipe):
    """Turns one bit over."""

    at: int
    seen: int = 0

    async def __call__(self, data: bytes) -> bytes:
        """The bytes, one of them changed if it is among these."""
        place, self.seen = self.at - self.seen, self.seen + len(data)
        if not 0 <= place < len(data):
            return data
        return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


@dataclass
class Then(Pipe):
    """Does something once, when so many bytes went through."""

    after: int
    act: Callable[[], None]
    sent: int = 0

    async def __call__(self, data: bytes) -> bytes:
        """The bytes as they are."""
        before, self.sent = self.sent, self.sent + len(data)
        if before <= self.after < self.sent:
            await asyncio.to_thread(self.act)
        return data


@dataclass
class Slow(Pipe):
    """Lets so many bytes a second through."""

    rate: float

    async def __call__(self, data: bytes) -> bytes:
        """The bytes, after a while."""
        await asyncio.sleep(len(data) / self.rate)
        return data


@dataclass
class Fault:
    """Something that happens to requests of one kind.

    Attributes:
        method: of the requests.
        path: regex, searched for in their path.
        times: how many requests it happens to.
        skip: how many are let through before.
        answer: status and headers to answer with; the server is not asked.
        body: of that answer.
        stall: seconds until anything is done; the server is not asked after it.
        before: called when a request came and the server has not got it.
        lost: the server's answer is waited for and thrown away, and the connection reset.
        after: called when the server has answered and the client does not know.
        up: makes the pipe of the request's body.
        down: makes the pipe of the answer's body.
    """

    method: str
    path: str
    times: int = 1
    skip: int = 0
    answer: tuple[int, dict[str, str]] | None = None
    body: bytes = b""
    stall: float = 0.0
    before: Callable[[], None] | None = None
    lost: bool = False
    after: Callable[[], None] | None = None
    up: Callable[[], Pipe] = Pipe
    down: Callable[[], Pipe] = Pipe
    met: int = field(default=0, init=False)
    """How many requests it happened to."""

    def takes(self, method: str, path: str) -> bool:
        """Whether it happens to this request."""
        if method != self.method or not re.search(self.path, path):
            return False
        if self.skip:
            self.skip -= 1
            return False
        if self.met >= self.times:
            return False
        self.met += 1
        return True
