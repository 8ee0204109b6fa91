"""Files of finished stages as S3 objects named by their sha256, so that equal files are one object.

`<prefix>/objects/<first two digits>/<sha256>`. An object is written once, with checksums that the
server computes too, and never changed. One that is found to be damaged is deleted, since whoever
makes the file again would else find its name taken.
"""

import os
import shutil
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from tasks.clients.s3_objects import Digests
from tasks.clients.shared_meter import Meter
from tasks.clients.shared_store import SharedStore
from tasks.core.errors import IntegrityError, ResourceError, StoreUnavailable
from tasks.core.manifest import FileRecord, StageRecord, relative_files, verify_file
from tasks.core.progress import Reporter

OBJECTS = "objects"
AT_ONCE = 8
ATTEMPTS = 4
PART = ".part"

retried = retry(
    retry=retry_if_exception_type(StoreUnavailable),
    stop=stop_after_attempt(ATTEMPTS),
    wait=wait_random_exponential(multiplier=0.5, max=20),
    reraise=True,
)


def object_path(sha256: str) -> str:
    """Where the object of a file lies below the prefix."""
    return f"{OBJECTS}/{sha256[:2]}/{sha256}"


class Objects:
    """The objects below one prefix.

    Args:
        store: where they are.
        prefix: address of the shared workspace.
        reporter: is told of transfers that take long, and of what is damaged.
    """

    def __init__(self, store: SharedStore, prefix: str, reporter: Reporter) -> None:
        self._store = store
        self._prefix = prefix
        self._reporter = reporter

    def lacking(self, files: Iterable[FileRecord]) -> list[str]:
        """Paths of those files whose object is missing or another one; the bytes are not read."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            asked = list(files)
            found = pool.map(self._stands, asked)
            return [file.path for file, stands in zip(asked, found, strict=True) if not stands]

    def put(self, record: StageRecord) -> None:
        """Send a stage's files; those that are there already are not sent again.

        Raises:
            IntegrityError: a file is not what its record says.
            StoreError, StoreUnavailable: S3 refused or did not answer.
        """
        meter = Meter(self._reporter, f"sending {record.stage}", record.size)
        for file in {file.sha256: file for file in record.files}.values():
            retried(self._put)(record.path / file.path, file, meter)

    def bring(self, record: StageRecord, folder: Path) -> None:
        """Fill a folder with a record's files, going on where a broken attempt stopped.

        Raises:
            IntegrityError: an object is missing or damaged; a damaged one is deleted.
            ResourceError: the disk is too small.
            StoreError, StoreUnavailable: S3 refused or did not answer.
        """
        _keep_only(folder, record.files)
        _check_space(folder, record)
        meter = Meter(self._reporter, f"bringing {record.stage}", record.size)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            largest_first = sorted(record.files, key=lambda file: -file.size)
            running = [pool.submit(self._bring, folder, file, meter) for file in largest_first]
            try:
                for future in running:
                    future.result()
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise

    def _uri(self, file: FileRecord) -> str:
        return f"{self._prefix}/{object_path(file.sha256)}"

    def _stands(self, file: FileRecord) -> bool:
        return _is(file, self._store.head(self._uri(file)))

    def _put(self, path: Path, file: FileRecord, meter: Meter) -> None:
        there = self._store.head(self._uri(file))
        if _is(file, there):
            meter.add(file.size)
            return
        if there is not None:
            self._discard(file)
        self._store.put_file(path, self._uri(file), sha256=file.sha256, advance=meter.add)

    def _discard(self, file: FileRecord) -> None:
        self._reporter.note(f"{self._uri(file)} is damaged: deleted, to be made again")
        self._store.delete(self._uri(file))

    def _bring(self, folder: Path, file: FileRecord, meter: Meter) -> None:
        """Bring one file; what does not verify is fetched once more from its start."""
        target = folder / file.path
        if target.is_file():
            meter.add(file.size)
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        if not self._fetched(target, file, meter) and not self._fetched(target, file, meter):
            self._discard(file)
            raise IntegrityError(
                f"{self._uri(file)} has other bytes than recorded",
                expected=f"{file.size} bytes, sha256 {file.sha256}",
                remedy="it was deleted; run the release again, and its stage is made anew",
            )

    def _fetched(self, target: Path, file: FileRecord, meter: Meter) -> bool:
        """Whether the file arrived whole; else nothing of it is left."""
        part = target.with_name(target.name + PART)
        retried(self._complete)(part, file, meter.add)
        try:
            verify_file(part.parent, file.model_copy(update={"path": part.name}))
        except IntegrityError:
            meter.add(-part.stat().st_size)
            part.unlink()
            return False
        part.replace(target)
        return True

    def _complete(self, part: Path, file: FileRecord, add: Callable[[int], None]) -> None:
        """Write what is missing after the end of what is there."""
        with part.open("ab") as stream:
            have = stream.seek(0, os.SEEK_END)
            if have > file.size:
                stream.truncate(have := 0)
            if have == file.size:
                return
            if not self._stands(file):
                raise IntegrityError(
                    f"{self._uri(file)} is missing or another object",
                    expected=f"{file.size} bytes, sha256 {file.sha256}",
                    remedy="run the release again, and its stage is made anew",
                )
            self._append(stream, file, have, add)

    def _append(
        self, stream: BinaryIO, file: FileRecord, start: int, add: Callable[[int], None]
    ) -> None:
        for piece in self._store.pieces(self._uri(file), start):
            stream.write(piece)
            add(len(piece))


def _is(file: FileRecord, there: Digests | None) -> bool:
    """Whether an object is a file's, as far as the server says."""
    return there is not None and (there.size, there.sha256) == (file.size, file.sha256)


def _keep_only(folder: Path, files: Iterable[FileRecord]) -> None:
    """Remove what an earlier attempt left there and is not wanted, or did not come whole."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted = {file.path: file for file in files}
    for name in relative_files(folder):
        file = wanted.get(name)
        if file is None and name.removesuffix(PART) in wanted:
            continue
        try:
            if file is not None:
                verify_file(folder, file)
                continue
        except IntegrityError:
            pass
        (folder / name).unlink()


def _check_space(folder: Path, record: StageRecord) -> None:
    have = sum((folder / name).stat().st_size for name in relative_files(folder))
    free, needed = shutil.disk_usage(folder).free, record.size - have
    if needed > free:
        raise ResourceError(
            f"the disk is too small to bring what {record.stage} made",
            expected=f"{needed / 1e9:.1f} GB free below {folder}",
            found=f"{free / 1e9:.1f} GB",
            remedy="remove what is no longer used with `roundhouse prune`, or set ROUNDHOUSE_HOME",
        )
