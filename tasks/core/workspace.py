"""Where stages put what they make: `<home>/<kind>/<key>/<stage>`, whole or not at all.

A stage works in `<stage>.partial`, which a later attempt with the same inputs finds again, so that
downloads resume; what an attempt with other inputs left there is removed. When it is whole, its
files are hashed, the folder is renamed to `<stage>`, and its record is written to `<stage>.json`. A
finished stage is verified and handed out instead of made again. A lock file keeps two runs of the
same stage apart.

Machines that have no disk in common share finished stages through a store (`Shared`): one of them
makes a stage and publishes it, the others take its record, and its files when they need them.
"""

import shutil
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from tasks.core.digest import canonical_json, indented_json
from tasks.core.errors import IntegrityError
from tasks.core.manifest import FileRecord, StageRecord, relative_files
from tasks.core.workspace_lock import locked
from tasks.core.workspace_shared import Shared, Slot

R = TypeVar("R", bound=StageRecord)
RELEASES, BASES = "releases", "bases"
_verified: set[tuple[str, str]] = set()
"""Folder and digest of stages that this process has verified byte for byte."""


class Workspace:
    """The folders of one release, or of one base commit that many releases share.

    Args:
        home: root of the workspaces of this machine.
        place: of this one below it; holds one folder a stage.
        shared: what this machine has in common with others; None for nothing.
    """

    def __init__(self, home: Path, place: str, shared: Shared | None = None) -> None:
        self.root = (home / place).resolve()
        self._place = place
        self._shared = shared

    @classmethod
    def of_release(cls, home: Path, release_id: str, shared: Shared | None = None) -> "Workspace":
        """The workspace of one release."""
        return cls(home, f"{RELEASES}/{release_id}", shared)

    @classmethod
    def of_target(
        cls, home: Path, release_id: str, target: str, shared: Shared | None = None
    ) -> "Workspace":
        """The workspace of what one release leaves at one target: publication and archive."""
        return cls(home, f"{RELEASES}/{release_id}/targets/{_flat(target)}", shared)

    @classmethod
    def of_base(
        cls, home: Path, repo: str, commit: str, shared: Shared | None = None
    ) -> "Workspace":
        """The workspace of one commit of a base, shared by all its releases."""
        return cls(home, f"{BASES}/{_flat(repo)}/{commit}", shared)

    def folder(self, stage: str) -> Path:
        """Where a finished stage's files lie."""
        return self.root / stage

    def partial(self, stage: str) -> Path:
        """Where a stage works before it is whole."""
        return self.root / f"{stage}.partial"

    def scratch(self, stage: str) -> Path:
        """A folder for a stage's logs and temporary files, not part of what it makes."""
        path = self.root / "scratch" / stage
        path.mkdir(parents=True, exist_ok=True)
        return path

    def finished(self, stage: str, kind: type[R], *, deep: bool = True) -> R | None:
        """The record of a stage that is finished on this machine, after verifying it, or None.

        A stage whose files differ from its record counts as not made.
        """
        path = self.root / f"{stage}.json"
        if not path.is_file():
            return None
        try:
            record = kind.model_validate_json(path.read_bytes())
            record = record.model_copy(update={"folder": str(self.folder(stage))})
            record.verify(deep=deep)
        except (ValidationError, IntegrityError):
            return None
        return record

    def run(
        self,
        stage: str,
        kind: type[R],
        inputs: dict[str, str],
        make: Callable[[Path], dict[str, object]],
    ) -> R:
        """Make a stage once: the finished one if its inputs are these, else a new one.

        Args:
            stage: name of the stage.
            kind: type of its record.
            inputs: digests of what it is made from, by name.
            make: fills the folder it is given; returns the record's own facts.
        """
        with locked(self._record(stage).with_suffix(".lock")):
            if self._shared is None:
                return self._made_here(stage, kind, inputs) or self._make(stage, kind, inputs, make)
            return self._run_shared(self._shared, Slot(self._place, stage, inputs), kind, make)

    def here(self, record: R) -> R:
        """A record whose files lie on this machine, brought from another one if need be.

        Whoever reads the files of a stage asks for them here. Where nothing is shared, they lie
        where the record says.

        Raises:
            IntegrityError: the shared files are gone or damaged; another run makes them again.
            ResourceError: the disk is too small.
        """
        if self._shared is None:
            return record
        with locked(self._record(record.stage).with_suffix(".lock")):
            placed = self._placed(record)
            known = (placed.folder, placed.digest) in _verified
            return self._bring(self._shared, placed, deep=not known)

    def made_from(self, stage: str, kind: type[R], upstream: Iterable[StageRecord]) -> R | None:
        """The record of a finished stage that was made from these records, or None."""
        wanted = {record.stage: record.digest for record in upstream}.items()
        if self._shared is None:
            done = self.finished(stage, kind)
            return done if done is not None and wanted <= done.inputs.items() else None
        for record in self._shared.records(self._place, stage, kind):
            if wanted <= record.inputs.items():
                found = self._shared.find(Slot(self._place, stage, record.inputs), kind)
                if found is not None:
                    return self._placed(found)
        return None

    def forget(self, record: StageRecord) -> None:
        """Let a finished stage count as not made, on this machine and on others."""
        if self._shared is not None:
            self._shared.forget(Slot(self._place, record.stage, record.inputs))
        self._record(record.stage).unlink(missing_ok=True)

    def bring_logs(self, record: StageRecord) -> None:
        """Bring the logs of a stage that was made elsewhere into its scratch folder."""
        if self._shared is not None:
            slot = Slot(self._place, record.stage, record.inputs)
            self._shared.bring_logs(slot, self.scratch(record.stage))

    def carried(
        self, stage: str, inputs: dict[str, str], folder: Path, pattern: str
    ) -> AbstractContextManager[None]:
        """Let a killed attempt's files in a folder be found by the next one, on any machine.

        Args:
            stage: name of the stage.
            inputs: as for `run`, within which this is used.
            folder: below `scratch`; files appear in it whole and are not changed afterwards.
            pattern: of the names of files that are carried.
        """
        if self._shared is None:
            return nullcontext()
        return self._shared.carried(Slot(self._place, stage, inputs), folder, pattern)

    def _record(self, stage: str) -> Path:
        return self.root / f"{stage}.json"

    def _placed(self, record: R) -> R:
        """A record whose folder is that of this machine."""
        return record.model_copy(update={"folder": str(self.folder(record.stage))})

    def _made_here(self, stage: str, kind: type[R], inputs: dict[str, str]) -> R | None:
        done = self.finished(stage, kind)
        return done if done is not None and done.inputs == inputs else None

    def _run_shared(
        self, shared: Shared, slot: Slot, kind: type[R], make: Callable[[Path], dict[str, object]]
    ) -> R:
        """The making that all machines agree on: found, or made here and published."""
        found = shared.find(slot, kind)
        if found is None:
            with shared.claimed(slot):
                found = shared.find(slot, kind)
                if found is None:
                    ours = self._made_here(slot.stage, kind, slot.inputs)
                    ours = ours or self._make(slot.stage, kind, slot.inputs, make)
                    shared.keep_logs(slot, self.scratch(slot.stage))
                    found = shared.publish(slot, ours)
        # What lies here must not be taken for what was agreed on; what does not may wait.
        placed = self._placed(found)
        return self._bring(shared, placed, deep=True) if placed.path.exists() else placed

    def _bring(self, shared: Shared, record: R, *, deep: bool) -> R:
        """Bring a record's files unless they are here, whole."""
        stage = record.stage
        done = self.finished(stage, type(record), deep=deep)
        if done is None or done.digest != record.digest:
            fetched = self.root / f"{stage}.fetched"
            shared.bring(record, fetched)
            self._publish(fetched, record)
        _verified.add((record.folder, record.digest))
        return record

    def _make(
        self,
        stage: str,
        kind: type[R],
        inputs: dict[str, str],
        make: Callable[[Path], dict[str, object]],
    ) -> R:
        started = time.monotonic()
        partial = self._begin(stage, inputs)
        facts = make(partial)
        files = tuple(FileRecord.of(partial, partial / name) for name in relative_files(partial))
        record = kind.model_validate(
            {
                "stage": stage,
                "folder": str(self.folder(stage)),
                "files": files,
                "inputs": inputs,
                "seconds": round(time.monotonic() - started, 3),
                **facts,
            }
        )
        self._publish(partial, record)
        _verified.add((record.folder, record.digest))
        return record

    def _begin(self, stage: str, inputs: dict[str, str]) -> Path:
        """The folder to work in: an earlier attempt's only if it had the same inputs."""
        partial, note = self.partial(stage), self.root / f"{stage}.partial.json"
        belongs = canonical_json(inputs)
        if partial.exists() and not (note.is_file() and note.read_bytes() == belongs):
            shutil.rmtree(partial)
        note.write_bytes(belongs)
        partial.mkdir(exist_ok=True)
        return partial

    def _publish(self, made: Path, record: StageRecord) -> None:
        """Put folder and record in place; the record last, so that it vouches for the folder."""
        stage = record.stage
        target, record_path = self.folder(stage), self._record(stage)
        record_path.unlink(missing_ok=True)
        if target.exists():
            shutil.rmtree(target)
        made.rename(target)
        temporary = record_path.with_suffix(".json.new")
        temporary.write_text(indented_json(record))
        temporary.replace(record_path)
        (self.root / f"{stage}.partial.json").unlink(missing_ok=True)


def _flat(repo: str) -> str:
    return repo.replace("/", "--")
