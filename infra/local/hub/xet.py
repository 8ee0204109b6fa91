"""Xet transfer: clients write chunks straight into a folder, which is read at commit time.

``hf_xet`` takes a ``local://`` folder for its content-addressed store (CAS), but locks its index to
one process. So every client gets a folder of its own, a view, in which the chunks (xorbs) alone are
shared: an uploader's view begins empty, a downloader's has a copy of the published index.
"""

import shutil
import sqlite3
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import hf_xet  # type: ignore[import-untyped]

from .blobs import BlobStore
from .database import Database
from .xet_shard import shard_files

_INDEX = "global_dedup_lookup.redb"
_VIEW_LIFETIME_S = 24 * 3600
_READ_BYTES = 1 << 20


class XetStore:
    """The published CAS folder and the views on it."""

    def __init__(self, root: Path) -> None:
        self._published = root.resolve() / "published"
        self._views = root.resolve() / "views"
        self._publishing = threading.Lock()
        for folder in ("xorbs", "shards"):
            (_cas(self._published) / folder).mkdir(parents=True, exist_ok=True)
        self._views.mkdir(exist_ok=True)
        self._drop_old_views()

    def open_for_writing(self) -> str:
        """CAS address of an empty view."""
        view = self._new_view()
        (_cas(view) / "shards").mkdir()
        return f"local://{view}"

    def open_for_reading(self) -> str:
        """CAS address of a view of everything that was published."""
        view = self._new_view()
        with self._publishing:
            self._share(self._published, view)
        return f"local://{view}"

    def hashes(self, db: sqlite3.Connection) -> dict[str, str]:
        """Xet hash of every published content, by SHA-256."""
        return {row["sha256"]: row["hash"] for row in db.execute("SELECT * FROM xet")}

    def hash_of(self, db: sqlite3.Connection, sha256: str) -> str | None:
        """Xet hash of a published content, None for any other."""
        row = db.execute("SELECT hash FROM xet WHERE sha256 = ?", (sha256,)).fetchone()
        return row["hash"] if row else None

    def bring(self, sha256: str, database: Database, blobs: BlobStore) -> None:
        """Take a content that a client uploaded into the blob store, then publish it.

        Plain downloads need the bytes, and only they prove that the chunks hash to ``sha256``.
        Nothing happens when no client uploaded such a content.

        Raises:
            HubError: 400 when the chunks hash to something else.
        """
        found = self._find(sha256)
        if found is None:
            return
        view, info = found
        with self._rebuilt(view, info) as whole, blobs.receive() as incoming:
            with whole.open("rb") as file:
                while piece := file.read(_READ_BYTES):
                    incoming.write(piece)
            incoming.keep(sha256)
        xet_hash = self._publish(blobs.path(sha256), sha256)
        with database.write() as db:
            db.execute("INSERT OR REPLACE INTO xet VALUES (?, ?)", (sha256, xet_hash))

    def _publish(self, content: Path, sha256: str) -> str:
        with (
            self._publishing,
            hf_xet.XetSession().new_upload_commit(endpoint=f"local://{self._published}") as commit,
        ):
            upload = commit.start_upload_file(str(content), sha256=sha256)
        xet_hash: str = upload.result().xet_info.hash
        return xet_hash

    def _find(self, sha256: str) -> tuple[Path, hf_xet.XetFileInfo] | None:
        for view in self._views.iterdir():
            for shard in (_cas(view) / "shards").glob("*.mdb"):
                for file in shard_files(shard.read_bytes()):
                    if file.sha256 == sha256:
                        return view, hf_xet.XetFileInfo(file.xet_hash, file.size)
        return None

    @contextmanager
    def _rebuilt(self, view: Path, info: hf_xet.XetFileInfo) -> Iterator[Path]:
        """The file put together again, for as long as the context lasts."""
        # the uploader may still hold the lock on its view's index
        copy = self._new_view()
        try:
            self._share(view, copy)
            whole = copy / "whole"
            with hf_xet.XetSession().new_file_download_group(endpoint=f"local://{copy}") as group:
                group.start_download_file(info, str(whole))
            yield whole
        finally:
            shutil.rmtree(copy, ignore_errors=True)

    def _new_view(self) -> Path:
        view = self._views / uuid.uuid4().hex
        _cas(view).mkdir(parents=True)
        (_cas(view) / "xorbs").symlink_to(_cas(self._published) / "xorbs")
        return view

    def _share(self, source: Path, view: Path) -> None:
        (_cas(view) / "shards").symlink_to(_cas(source) / "shards")
        index = _cas(source) / _INDEX
        if index.exists():
            shutil.copyfile(index, _cas(view) / _INDEX)

    def _drop_old_views(self) -> None:
        for view in self._views.iterdir():
            if time.time() - view.stat().st_mtime > _VIEW_LIFETIME_S:
                shutil.rmtree(view, ignore_errors=True)


def _cas(folder: Path) -> Path:
    """Where ``hf_xet`` keeps chunks, shards and index below a CAS address."""
    return folder / "xet" / "xorbs"
