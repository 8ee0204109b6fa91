"""Downloads over a connection that breaks, lies or starts over."""

import hashlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tasks.clients.hub_errors import Asked, translated
from tasks.clients.hub_files import HubFile
from tasks.clients.hub_transfer import PART, download, first_bytes
from tasks.core.errors import HubUnavailable, IntegrityError

DATA = bytes(range(256)) * 5000
FILE = HubFile("w.safetensors", len(DATA), hashlib.sha256(DATA).hexdigest(), "")


class Faulty(ThreadingHTTPServer):
    """Serves DATA with ranges.

    Attributes:
        cut: close the connection after this many bytes of an answer.
        ranges: honour Range.
        status: answer with this error instead.
        sent: bytes sent in all.
        data: what is served.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.cut = len(DATA)
        self.ranges = True
        self.status = 200
        self.sent = 0
        self.data = DATA

    @property
    def url(self) -> str:
        """Address of the served file."""
        return f"http://127.0.0.1:{self.server_port}/w.safetensors"


class Handler(BaseHTTPRequestHandler):
    """One request to a Faulty server."""

    server: Faulty

    def do_GET(self) -> None:
        """Serve DATA, with the server's faults."""
        if self.server.status != 200:
            self.send_error(self.server.status)
            return
        asked = self.headers.get("Range", "") if self.server.ranges else ""
        first, _, last = asked.removeprefix("bytes=").partition("-")
        body = self.server.data[int(first or 0) : int(last) + 1 if last else None]
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: self.server.cut])
        self.server.sent += min(len(body), self.server.cut)
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Keep quiet."""


@pytest.fixture
def server() -> Iterator[Faulty]:
    """A faulty server in a thread."""
    with Faulty() as faulty:
        thread = threading.Thread(target=faulty.serve_forever, args=(0.01,))
        thread.start()
        yield faulty
        faulty.shutdown()
        thread.join()


def fetch(server: Faulty, target: Path, counts: list[int] | None = None) -> None:
    counted: list[int] = [] if counts is None else counts
    with translated(Asked("download", "a/b")):
        download(server.url, {}, FILE, target, counted.append)


def test_a_broken_download_goes_on_where_it_stopped(server: Faulty, tmp_path: Path) -> None:
    """Four cut connections bring the file, and no byte is sent twice."""
    server.cut = len(DATA) // 4 + 1
    target, counts = tmp_path / "w.safetensors", list[int]()
    for _ in range(3):
        with pytest.raises(HubUnavailable):
            fetch(server, target, counts)
        assert not target.exists()
    fetch(server, target, counts)
    assert target.read_bytes() == DATA
    assert server.sent == len(DATA)
    assert sum(counts) == len(DATA)


def test_a_server_without_ranges_starts_over(server: Faulty, tmp_path: Path) -> None:
    """An answer that ignores Range replaces what was there instead of following it."""
    target, counts = tmp_path / "w.safetensors", list[int]()
    Path(f"{target}{PART}").write_bytes(DATA[:1000])
    server.ranges = False
    fetch(server, target, counts)
    assert target.read_bytes() == DATA
    assert sum(counts) == len(DATA)


def test_wrong_bytes_are_thrown_away(server: Faulty, tmp_path: Path) -> None:
    """A flipped byte twice is an IntegrityError, and the next attempt does not build on it."""
    target = tmp_path / "w.safetensors"
    server.data = DATA[:-1] + b"\0"
    with pytest.raises(IntegrityError, match="sha256"):
        fetch(server, target)
    assert not target.exists()
    assert server.sent == 2 * len(DATA)
    server.data = DATA
    fetch(server, target)
    assert target.read_bytes() == DATA


def test_a_damaged_start_is_fetched_anew(server: Faulty, tmp_path: Path) -> None:
    """What a crash left as garbage costs one download, no error."""
    target, counts = tmp_path / "w.safetensors", list[int]()
    Path(f"{target}{PART}").write_bytes(b"x" * 1000)
    fetch(server, target, counts)
    assert target.read_bytes() == DATA
    assert sum(counts) == len(DATA)


def test_what_is_there_is_not_fetched_again(server: Faulty, tmp_path: Path) -> None:
    """A whole file costs no request; a changed one is fetched."""
    target = tmp_path / "w.safetensors"
    target.write_bytes(DATA)
    fetch(server, target)
    assert server.sent == 0
    target.write_bytes(DATA[:-1] + b"\0")
    fetch(server, target)
    assert target.read_bytes() == DATA


def test_two_that_want_the_same_file_share_it(server: Faulty, tmp_path: Path) -> None:
    """Of six at once one downloads and the others wait for it; nothing is left beside it."""
    target = tmp_path / "w.safetensors"
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda _: fetch(server, target), range(6)))
    assert target.read_bytes() == DATA
    assert server.sent == len(DATA)
    assert [path.name for path in tmp_path.iterdir()] == ["w.safetensors"]


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_unavailable(server: Faulty, tmp_path: Path, status: int) -> None:
    """A busy answer while downloading is worth another attempt."""
    server.status = status
    with pytest.raises(HubUnavailable):
        fetch(server, tmp_path / "w")


@pytest.mark.parametrize("ranges", [True, False])
def test_first_bytes_are_those_bytes(server: Faulty, ranges: bool) -> None:  # noqa: FBT001
    """With and without ranges on the server, the wanted bytes come, and no others."""
    server.ranges = ranges
    assert first_bytes(server.url, {}, 100) == DATA[:100]
    assert first_bytes(server.url, {}, 100, 77) == DATA[77:177]
    assert first_bytes(server.url, {}, 100, len(DATA) - 3) == DATA[-3:]
