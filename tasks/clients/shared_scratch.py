"""Files beside a stage's own that go with it from machine to machine: unfinished work, and logs.

`<uri>/<sha256>/<path>`: a file that is made again with other bytes is another object, and the
newest of a path counts.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tasks.clients.shared_store import Entry, SharedStore
from tasks.core.digest import sha256_file
from tasks.core.errors import RoundhouseError
from tasks.core.progress import Reporter

SWEEP_SECONDS = 2.0


class Scratch:
    """The files of one kind that one making of a stage leaves.

    Args:
        store: where they are.
        uri: address below which they are.
        reporter: is told what was brought, and of what cannot be sent.
        sweep: seconds between two looks at the folder.
    """

    def __init__(
        self, store: SharedStore, uri: str, reporter: Reporter, sweep: float = SWEEP_SECONDS
    ) -> None:
        self._store = store
        self._uri = uri
        self._reporter = reporter
        self._sweep = sweep
        self._sent: dict[str, tuple[int, int]] = {}
        """Size and time of each file that is there, by name."""

    @contextmanager
    def carried(self, folder: Path, pattern: str) -> Iterator[None]:
        """Bring what is there and not here; send what appears, until the end and once more then."""
        self.bring(folder)
        over = threading.Event()
        sender = threading.Thread(
            target=self._send_until, args=(over, folder, pattern), name="carry", daemon=True
        )
        sender.start()
        try:
            yield
        finally:
            over.set()
            sender.join()

    def bring(self, folder: Path) -> None:
        """Bring what is there and not here."""
        folder.mkdir(parents=True, exist_ok=True)
        newest: dict[str, Entry] = {}
        for entry in sorted(self._store.entries(self._uri), key=lambda entry: -entry.age):
            newest[entry.path.partition("/")[2]] = entry
        brought = [name for name, entry in newest.items() if self._bring_one(folder, name, entry)]
        if brought:
            self._reporter.note(f"{len(brought)} files of another attempt are taken up")

    def send(self, folder: Path, pattern: str) -> None:
        """Send what is not there yet; a stage does not fail because its scratch cannot be kept."""
        for path in sorted(folder.glob(pattern)):
            name = path.relative_to(folder).as_posix()
            try:
                if self._sent.get(name) != (seen := _signature(path)):
                    self._store.put_file(path, f"{self._uri}/{sha256_file(path)}/{name}")
                    self._sent[name] = seen
            except FileNotFoundError:
                continue
            except RoundhouseError as error:
                self._reporter.note(f"{name} is not kept for other machines yet: {error.what}")
                return

    def drop(self) -> None:
        """Remove it all."""
        self._store.delete_below(
            self._uri, [entry.path for entry in self._store.entries(self._uri)]
        )

    def _bring_one(self, folder: Path, name: str, entry: Entry) -> bool:
        """Whether the file was brought: not if it is here, or what is there is damaged."""
        path, sha256 = folder / name, entry.path.partition("/")[0]
        part = path.with_name(f"{path.name}.part")
        if here := path.exists():
            if sha256_file(path) != sha256:
                return False
        elif self._fetched(part, entry, sha256):
            part.replace(path)
        else:
            return False
        self._sent[name] = _signature(path)
        return not here

    def _fetched(self, part: Path, entry: Entry, sha256: str) -> bool:
        """Whether the file arrived whole; else nothing of it is left."""
        part.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as stream:
            if entry.size:  # S3 refuses a range of nothing
                for piece in self._store.pieces(f"{self._uri}/{entry.path}", 0):
                    stream.write(piece)
        if sha256_file(part) == sha256:
            return True
        part.unlink()
        self._reporter.note(f"{self._uri}/{entry.path} is damaged and is passed over")
        return False

    def _send_until(self, over: threading.Event, folder: Path, pattern: str) -> None:
        while not over.wait(self._sweep):
            self.send(folder, pattern)
        self.send(folder, pattern)


def _signature(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns
