"""Finished stages in S3, for machines that have nothing else in common.

    <prefix>/objects/<2>/<sha256>                   files, each once however many stages hold it
    <prefix>/<place>/<stage>/<inputs>.json          the record of a stage made from these inputs
    <prefix>/<place>/<stage>/<inputs>.lease         who makes it now
    <prefix>/<place>/<stage>/<inputs>.scratch/      what a killed attempt left for the next one
    <prefix>/<place>/<stage>/<inputs>.logs/         of the children that made it
    <prefix>/<place>/used                           when a machine last used the workspace

A record is written last, on the condition that none is there. Of two machines that make the same
stage one comes first, and the other takes what it made.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

from pydantic import ValidationError

from tasks.clients.s3_state import Kept
from tasks.clients.shared_lease import LEASE, Leases, Pace
from tasks.clients.shared_objects import Objects
from tasks.clients.shared_scratch import Scratch
from tasks.clients.shared_store import SharedStore
from tasks.core.digest import indented_json
from tasks.core.manifest import StageRecord
from tasks.core.progress import Reporter
from tasks.core.settings import Settings
from tasks.core.workspace_shared import Shared, Slot

R = TypeVar("R", bound=StageRecord)
IDENTITY, RECORD, SCRATCH, LOGS, USED = "identity", ".json", ".scratch", ".logs", "used"
USED_SECONDS = 3600.0
"""How old the mark of the last use may grow before it is set anew."""
SHOWN = 4


def shared_workspace(settings: Settings, reporter: Reporter) -> Shared | None:
    """What this machine shares with others, as the environment says; None for nothing.

    Raises:
        StoreError: the address or the endpoint is none.
    """
    if not settings.workspace:
        return None
    return SharedWorkspace(shared_store(settings), settings.workspace, settings.home, reporter)


def shared_store(settings: Settings) -> SharedStore:
    """Where it is: the environment's S3, without what is asked for archived objects alone.

    Raises:
        StoreError: the endpoint is none.
    """
    # An object lock would keep leases from being given back.
    return SharedStore.from_settings(settings.model_copy(update={"archive_lock": ""}))


class SharedWorkspace:
    """A `Shared` below one S3 prefix.

    Args:
        store: where it is.
        uri: address of the prefix.
        home: of this machine's workspaces.
        reporter: is told of waiting, of long transfers, and of what is damaged.
        pace: of the leases.
    """

    def __init__(
        self,
        store: SharedStore,
        uri: str,
        home: Path,
        reporter: Reporter,
        pace: Pace | None = None,
    ) -> None:
        self._store = store
        self._uri = uri.rstrip("/")
        self._reporter = reporter
        self._objects = Objects(store, self._uri, reporter)
        self._leases = Leases(store, _identity(home), reporter, pace or Pace())

    def find(self, slot: Slot, kind: type[R]) -> R | None:
        """The record in a slot if all its files are there; says so if they are not."""
        found, _ = self._whole(self._address(slot, RECORD), kind)
        if found is not None:
            self._mark_used(slot.place)
        return found

    def records(self, place: str, stage: str, kind: type[R]) -> Sequence[R]:
        """The records of a stage, the newest first; whether their files are there is not asked."""
        folder = f"{self._uri}/{place}/{stage}"
        entries = [e for e in self._store.entries(folder) if e.path.endswith(RECORD)]
        newest_first = sorted(entries, key=lambda entry: entry.age)
        read = (self._read(f"{folder}/{entry.path}", kind)[0] for entry in newest_first)
        return [record for record in read if record is not None]

    def claimed(self, slot: Slot) -> AbstractContextManager[None]:
        """Keep other machines from making the same; waits for one that does."""
        return self._leases.held(self._address(slot, LEASE), f"{slot.stage} of {slot.place}")

    def carried(self, slot: Slot, folder: Path, pattern: str) -> AbstractContextManager[None]:
        """Bring what an attempt elsewhere left, and send what appears."""
        return self._scratch(slot, SCRATCH).carried(folder, pattern)

    def keep_logs(self, slot: Slot, folder: Path) -> None:
        """Send the logs in a folder."""
        self._scratch(slot, LOGS).send(folder, "**/*.log")

    def bring_logs(self, slot: Slot, folder: Path) -> None:
        """Bring into a folder the logs that are not there."""
        self._scratch(slot, LOGS).bring(folder)

    def publish(self, slot: Slot, record: R) -> R:
        """Send files and then the record; another machine's record holds if it came first."""
        uri, data = self._address(slot, RECORD), indented_json(_portable(record)).encode()
        self._objects.put(record)
        while True:
            theirs, kept = self._whole(uri, type(record))
            if theirs is not None:
                break
            if self._store.change(uri, data, kept.etag) is not None:
                theirs = record
                break
        self._mark_used(slot.place)
        self._scratch(slot, SCRATCH).drop()
        return theirs

    def bring(self, record: StageRecord, folder: Path) -> None:
        """Fill a folder with a record's files, verified."""
        self._objects.bring(record, folder)

    def forget(self, slot: Slot) -> None:
        """Let what stands in a slot count as not made."""
        self._store.delete(self._address(slot, RECORD))

    def _address(self, slot: Slot, suffix: str) -> str:
        return f"{self._uri}/{slot}{suffix}"

    def _scratch(self, slot: Slot, kind: str) -> Scratch:
        return Scratch(self._store, self._address(slot, kind), self._reporter)

    def _whole(self, uri: str, kind: type[R]) -> tuple[R | None, Kept]:
        """The record at an address if all its files are there, and what the address holds."""
        record, kept = self._read(uri, kind)
        if record is not None and (lacking := self._objects.lacking(record.files)):
            more = f" and {len(lacking) - SHOWN} more" if len(lacking) > SHOWN else ""
            self._reporter.note(
                f"{uri} counts as not made: objects are missing or damaged, of the files "
                f"{', '.join(lacking[:SHOWN])}{more}"
            )
            return None, kept
        return record, kept

    def _read(self, uri: str, kind: type[R]) -> tuple[R | None, Kept]:
        kept = self._store.look(uri)
        if not kept.etag:
            return None, kept
        try:
            return kind.model_validate_json(kept.data), kept
        except ValidationError as error:
            self._reporter.note(
                f"{uri} counts as not made: it is no record of this version "
                f"({error.error_count()} errors)"
            )
            return None, kept

    def _mark_used(self, place: str) -> None:
        """Say that the workspace is in use, for whoever removes old ones."""
        uri = f"{self._uri}/{place}/{USED}"
        there = self._store.look_aged(uri)
        if there is None or there.age > USED_SECONDS:
            self._store.change(uri, uuid4().hex.encode(), there.kept.etag if there else "")


def _portable(record: R) -> R:
    """A record without its folder, which means nothing on another machine."""
    return record.model_copy(update={"folder": ""})


def _identity(home: Path) -> str:
    """Name of a home, made up at its first use."""
    path = home / IDENTITY
    home.mkdir(parents=True, exist_ok=True)
    drawn = path.with_name(f"{IDENTITY}.{uuid4().hex}")
    drawn.write_text(drawn.suffix[1:])
    with suppress(FileExistsError):
        path.hardlink_to(drawn)
    drawn.unlink()
    return path.read_text()
