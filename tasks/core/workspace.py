"""Where stages put what they make: `<home>/<kind>/<key>/<stage>`, whole or not at all.

A stage works in `<stage>.partial`, which a later attempt with the same inputs finds again, so that
downloads resume; what an attempt with other inputs left there is removed. When it is whole, its
files are hashed, the folder is renamed to `<stage>`, and its record is written to `<stage>.json`. A
finished stage is verified and handed out instead of made again. A lock file keeps two runs of the
same stage apart.
"""

import fcntl
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from tasks.core.digest import canonical_json
from tasks.core.errors import IntegrityError
from tasks.core.manifest import FileRecord, StageRecord, relative_files

R = TypeVar("R", bound=StageRecord)


class Workspace:
    """The folders of one release, or of one base commit that many releases share.

    Args:
        root: folder that holds one folder a stage.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()

    @classmethod
    def of_release(cls, home: Path, release_id: str) -> "Workspace":
        """The workspace of one release."""
        return cls(home / "releases" / release_id)

    @classmethod
    def of_base(cls, home: Path, repo: str, commit: str) -> "Workspace":
        """The workspace of one commit of a base, shared by all its releases."""
        return cls(home / "bases" / repo.replace("/", "--") / commit)

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
        """The record of a finished stage after verifying it, or None.

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
        self.root.mkdir(parents=True, exist_ok=True)
        with _locked(self.root / f"{stage}.lock"):
            done = self.finished(stage, kind)
            if done is not None and done.inputs == inputs:
                return done
            return self._make(stage, kind, inputs, make)

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
        self._publish(stage, record)
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

    def _publish(self, stage: str, record: StageRecord) -> None:
        """Put folder and record in place; the record last, so that it vouches for the folder."""
        target, record_path = self.folder(stage), self.root / f"{stage}.json"
        record_path.unlink(missing_ok=True)
        if target.exists():
            shutil.rmtree(target)
        self.partial(stage).rename(target)
        temporary = record_path.with_suffix(".json.new")
        temporary.write_text(record.model_dump_json(indent=2) + "\n")
        temporary.replace(record_path)
        (self.root / f"{stage}.partial.json").unlink(missing_ok=True)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a file lock; the kernel frees it when the process dies."""
    with path.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield
