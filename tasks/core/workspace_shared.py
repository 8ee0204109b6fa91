"""What a workspace needs of a store that several machines have in common.

The store is behind a protocol, so that the vocabulary stays free of its library; the one in S3 is
`tasks.clients.shared_workspace`.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from tasks.core.digest import sha256_json
from tasks.core.manifest import StageRecord

R = TypeVar("R", bound=StageRecord)
KEY_DIGITS = 16


@dataclass(frozen=True)
class Slot:
    """Where the record of one making of a stage stands, whichever machine makes it.

    Attributes:
        place: the workspace, as a path below a home: `releases/<id>` or `bases/<repo>/<commit>`.
        stage: name of the stage.
        inputs: digests of what it is made from, by name.
    """

    place: str
    stage: str
    inputs: dict[str, str]

    @property
    def key(self) -> str:
        """Name of these inputs."""
        return sha256_json(self.inputs)[:KEY_DIGITS]

    def __str__(self) -> str:
        return f"{self.place}/{self.stage}/{self.key}"


class Shared(Protocol):
    """Finished stages that several machines have in common.

    Every method may raise what a store raises: StoreError, StoreUnavailable.
    """

    def find(self, slot: Slot, kind: type[R]) -> R | None:
        """The record in a slot if all its files are there.

        Records and files that are damaged or missing count as not made, which is noted.
        """

    def records(self, place: str, stage: str, kind: type[R]) -> Sequence[R]:
        """The records of a stage, the newest first; whether their files are there is not asked."""

    def claimed(self, slot: Slot) -> AbstractContextManager[None]:
        """Keep other machines from making the same; waits for one that does."""

    def carried(self, slot: Slot, folder: Path, pattern: str) -> AbstractContextManager[None]:
        """Bring into a folder what an attempt elsewhere left there, and send what appears.

        Args:
            slot: what is made.
            folder: files in it appear whole and are not changed afterwards.
            pattern: of the names of files that are carried.
        """

    def keep_logs(self, slot: Slot, folder: Path) -> None:
        """Send the logs in a folder."""

    def bring_logs(self, slot: Slot, folder: Path) -> None:
        """Bring into a folder the logs that are not there."""

    def publish(self, slot: Slot, record: R) -> R:
        """Send a finished stage.

        Returns:
            The record that holds from now on: another machine's, if that came first.
        """

    def bring(self, record: StageRecord, folder: Path) -> None:
        """Fill a folder with a record's files, verified; goes on where a broken attempt stopped.

        Raises:
            IntegrityError: a file is gone or damaged; its stage counts as not made from now on.
            ResourceError: the disk is too small.
        """

    def forget(self, slot: Slot) -> None:
        """Let what stands in a slot count as not made."""
