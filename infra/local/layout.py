"""Where the embedded stack keeps its things, and the lock that makes two `up` one stack."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tasks.core.progress import Reporter

ROOT = Path(__file__).resolve().parents[2]
"""The project's own folder: flows and tasks are imported from here."""


@dataclass(frozen=True)
class Layout:
    """The stack's files below one home.

    Attributes:
        home: absolute path of the Roundhouse home.
    """

    home: Path

    @classmethod
    def of(cls, home: Path) -> "Layout":
        """The layout below a home that may be given relative to the working folder."""
        return cls(home.expanduser().resolve())

    @property
    def root(self) -> Path:
        """Everything of the stack lies below this folder."""
        return self.home / "stack"

    @property
    def ports(self) -> Path:
        """Ports that were chosen, as JSON."""
        return self.root / "stack.json"

    @property
    def credentials(self) -> Path:
        """Tokens and keys, readable by the owner alone."""
        return self.root / "credentials.json"

    @property
    def signing_key(self) -> Path:
        """The key that signs releases, readable by the owner alone."""
        return self.root / "signing.pem"

    @property
    def verify_key(self) -> Path:
        """Its public half."""
        return self.root / "signing.pub.pem"

    @property
    def hub_tokens(self) -> Path:
        """What the Hub stand-in accepts, readable by the owner alone."""
        return self.root / "hub-tokens.json"

    def data(self, name: str) -> Path:
        """The state of one piece."""
        return self.root / name

    def log(self, name: str) -> Path:
        """The output of one piece."""
        return self.root / "logs" / f"{name}.log"

    def pid(self, name: str) -> Path:
        """Which process one piece is."""
        return self.root / "pids" / f"{name}.json"

    @property
    def beat(self) -> Path:
        """Touched by the keeper at every look."""
        return self.root / "keeper.beat"

    def make(self) -> None:
        """Make the folders; others may not look inside."""
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        for folder in (self.root / "logs", self.root / "pids"):
            folder.mkdir(exist_ok=True)

    @contextmanager
    def locked_if_free(self) -> Iterator[bool]:
        """Hold the stack's lock if nobody else does; tells whether it is held."""
        with (self.root / "lock").open("w") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True

    @contextmanager
    def locked(self, reporter: Reporter) -> Iterator[None]:
        """Hold the stack's lock; the kernel frees it when its holder dies."""
        self.make()
        with (self.root / "lock").open("w") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                reporter.note(f"another command works on the stack in {self.home}; waiting for it")
                fcntl.flock(stream, fcntl.LOCK_EX)
            yield
