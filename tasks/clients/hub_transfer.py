"""Bytes from the Hub: whole small files, the first bytes of large ones, and resumable downloads.

huggingface_hub 2 starts a broken download over (its temporary file has a random name), so 62 GB
would be fetched again after a crash. Here a download goes to `<file>.part` and goes on from its
end, in this process and in the next.
"""

import fcntl
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import httpx2
from huggingface_hub import get_session, hf_raise_for_status
from tenacity import (
    before_sleep_log,
    retry,
    retry_if_exception_type,
    stop_after_attempt,
    wait_random_exponential,
)

from tasks.clients.hub_files import HubFile
from tasks.core.errors import HubUnavailable, IntegrityError

ATTEMPTS = 4
WHOLE_ATTEMPTS = 2
OK = 200
PART = ".part"
TIMEOUT = httpx2.Timeout(30.0)
SMALL = 64 << 20

log = logging.getLogger(__name__)

retried = retry(
    retry=retry_if_exception_type(HubUnavailable),
    stop=stop_after_attempt(ATTEMPTS),
    wait=wait_random_exponential(multiplier=0.5, max=20),
    before_sleep=before_sleep_log(log, logging.WARNING),
    reraise=True,
)
"""Retries what the Hub did not answer; wraps functions whose errors are ours already."""


@contextmanager
def _stream(url: str, headers: dict[str, str]) -> Iterator[httpx2.Response]:
    # A compressed answer would have another length than the file.
    plain = headers | {"Accept-Encoding": "identity"}
    with get_session().stream("GET", url, headers=plain, timeout=TIMEOUT) as response:
        if response.is_error:
            response.read()
        hf_raise_for_status(response)
        yield response


def first_bytes(url: str, headers: dict[str, str], count: int, start: int = 0) -> bytes:
    """At most `count` bytes from `start` on, read without downloading the rest."""
    ranged = headers | {"Range": f"bytes={start}-{start + count - 1}"}
    body = bytearray()
    with _stream(url, ranged) as response:
        skip = start if response.status_code == OK else 0
        for piece in response.iter_bytes():
            body += piece
            if len(body) >= skip + count:
                break
    return bytes(body[skip : skip + count])


def whole(url: str, headers: dict[str, str]) -> bytes:
    """A small file's bytes.

    Raises:
        IntegrityError: it is larger than 64 MiB.
    """
    body = bytearray()
    with _stream(url, headers) as response:
        for piece in response.iter_bytes():
            body += piece
            if len(body) > SMALL:
                raise IntegrityError(f"{url} is no small file", expected=f"at most {SMALL} bytes")
    return bytes(body)


def download(
    url: str,
    headers: dict[str, str],
    file: HubFile,
    target: Path,
    on_bytes: Callable[[int], None],
) -> None:
    """Bring one file to `target`, going on where `<target>.part` ends, and verify it.

    Two processes may want the same file: the second waits and finds it whole.

    Args:
        url: address of the file's bytes.
        headers: with the token.
        file: what it must be.
        target: where it goes; there already and whole, nothing is downloaded.
        on_bytes: called with each number of new bytes, bytes found on disk included.

    Raises:
        IntegrityError: what arrived is not the file; it is thrown away.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    counted = _Counted(on_bytes)
    try:
        _bring(url, headers, file, target, counted)
    except BaseException:
        counted(-counted.total)  # the next attempt counts them again
        raise


class _Counted:
    """Hands numbers of bytes on and remembers their sum."""

    def __init__(self, on_bytes: Callable[[int], None]) -> None:
        self.total = 0
        self._on_bytes = on_bytes

    def __call__(self, count: int) -> None:
        self.total += count
        self._on_bytes(count)


def _bring(
    url: str,
    headers: dict[str, str],
    file: HubFile,
    target: Path,
    on_bytes: Callable[[int], None],
) -> None:
    if _is_whole(file, target):
        on_bytes(file.size)
        return
    part = target.with_name(target.name + PART)
    with part.open("ab") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        if _is_whole(file, target):  # another process finished while we waited for the lock
            part.unlink(missing_ok=True)
            on_bytes(file.size)
            return
        _bring_whole(url, headers, file, stream, part, on_bytes)
        part.replace(target)


def _bring_whole(
    url: str,
    headers: dict[str, str],
    file: HubFile,
    stream: BinaryIO,
    part: Path,
    on_bytes: Callable[[int], None],
) -> None:
    """Complete a file, from its start where what came was damaged on the way or by a crash."""
    for left in reversed(range(WHOLE_ATTEMPTS)):
        _complete(url, headers, file, stream, on_bytes)
        try:
            file.verify(part)
        except IntegrityError:
            stream.truncate(0)
            if not left:
                raise
            on_bytes(-file.size)
        else:
            return


def _is_whole(file: HubFile, path: Path) -> bool:
    try:
        file.verify(path)
    except IntegrityError:
        return False
    return True


def _complete(
    url: str,
    headers: dict[str, str],
    file: HubFile,
    stream: BinaryIO,
    on_bytes: Callable[[int], None],
) -> None:
    """Write what is missing after the stream's end."""
    if stream.tell() > file.size:
        stream.truncate(0)
    have = stream.seek(0, os.SEEK_END)
    on_bytes(have)
    if have == file.size:
        return
    ranged = headers | ({"Range": f"bytes={have}-"} if have else {})
    with _stream(url, ranged) as response:
        if have and response.status_code == OK:  # the server sends it all again
            stream.truncate(0)
            on_bytes(-have)
        for piece in response.iter_bytes():
            stream.write(piece)
            on_bytes(len(piece))
    stream.flush()
