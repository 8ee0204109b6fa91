"""Machines that have nothing in common but one S3 prefix."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tasks.clients.s3_multipart import Multipart
from tasks.clients.shared_lease import Pace
from tasks.clients.shared_store import SharedStore
from tasks.clients.shared_workspace import SharedWorkspace
from tasks.core.manifest import StageRecord
from tasks.core.process import child_environment
from tasks.core.settings import Settings
from tasks.core.workspace import Workspace
from tests.conftest import S3Server

STAGE = "stage"
INPUTS = {"base": "abc"}
QUICK = Pace(holds=3.0, renew=0.5, poll=0.1)
PART = 5 << 20


@dataclass
class Told:
    """A reporter that remembers."""

    notes: list[str] = field(default_factory=list)
    updates: list[tuple[float, str]] = field(default_factory=list)

    def note(self, message: str) -> None:
        """Remember the line."""
        self.notes.append(message)

    def update(self, fraction: float, message: str) -> None:
        """Remember the progress."""
        self.updates.append((fraction, message))


class Machine:
    """One machine: a home of its own.

    Args:
        home: its folder.
        settings: of the S3 server.
        uri: the prefix it shares.
        pace: of its leases.
    """

    def __init__(self, home: Path, settings: Settings, uri: str, pace: Pace = QUICK) -> None:
        self.home = home
        self.told = Told()
        self.store = SharedStore.from_settings(settings, Multipart(PART))
        self.shared = SharedWorkspace(self.store, uri, home, self.told, pace)
        self.calls = 0

    def workspace(self, release_id: str = "demo-1") -> Workspace:
        """Of one release."""
        return Workspace.of_release(self.home, release_id, self.shared)

    def run(
        self,
        files: dict[str, bytes] | Callable[[Path], None],
        release_id: str = "demo-1",
        inputs: dict[str, str] | None = None,
    ) -> StageRecord:
        """Make a stage of these files, or take the finished one."""

        def make(folder: Path) -> dict[str, object]:
            self.calls += 1
            if callable(files):
                files(folder)
                return {}
            for name, data in files.items():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(data)
            return {}

        return self.workspace(release_id).run(STAGE, StageRecord, inputs or INPUTS, make)

    def here(self, record: StageRecord, release_id: str = "demo-1") -> dict[str, bytes]:
        """The files of a record, read on this machine."""
        placed = self.workspace(release_id).here(record)
        placed.verify()
        return {file.path: (placed.path / file.path).read_bytes() for file in placed.files}


def variables(server: S3Server, **others: str) -> dict[str, str]:
    """Environment of a child process that may use the server."""
    return child_environment(
        PYTHONPATH=str(Path(__file__).resolve().parents[2]),
        AWS_ENDPOINT_URL_S3=server.url,
        AWS_ACCESS_KEY_ID=server.credentials.s3_access_key.get_secret_value(),
        AWS_SECRET_ACCESS_KEY=server.credentials.s3_secret_key.get_secret_value(),
        **others,
    )


def objects(store: SharedStore, uri: str) -> list[str]:
    """Paths of the files' objects."""
    return [entry.path for entry in store.entries(f"{uri}/objects")]
