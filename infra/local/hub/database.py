"""The durable state: one SQLite file, written in transactions that survive a kill."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS repos (
  key INTEGER PRIMARY KEY, kind TEXT NOT NULL, id TEXT NOT NULL, private INTEGER NOT NULL,
  gated TEXT, created_at TEXT NOT NULL, modified_at TEXT NOT NULL, UNIQUE (kind, id)) STRICT;
CREATE TABLE IF NOT EXISTS trees (oid TEXT PRIMARY KEY, manifest TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS commits (
  repo INTEGER NOT NULL REFERENCES repos ON DELETE CASCADE, sha TEXT NOT NULL, parent TEXT,
  tree TEXT NOT NULL REFERENCES trees, title TEXT NOT NULL, message TEXT NOT NULL,
  author TEXT NOT NULL, date TEXT NOT NULL, PRIMARY KEY (repo, sha)) STRICT;
CREATE TABLE IF NOT EXISTS refs (
  repo INTEGER NOT NULL REFERENCES repos ON DELETE CASCADE, kind TEXT NOT NULL,
  name TEXT NOT NULL, sha TEXT NOT NULL, PRIMARY KEY (repo, kind, name)) STRICT;
CREATE TABLE IF NOT EXISTS grants (
  repo INTEGER NOT NULL REFERENCES repos ON DELETE CASCADE, user TEXT NOT NULL,
  status TEXT NOT NULL, date TEXT NOT NULL, PRIMARY KEY (repo, user)) STRICT;
CREATE TABLE IF NOT EXISTS xet (sha256 TEXT PRIMARY KEY, hash TEXT NOT NULL) STRICT;
"""


class Database:
    """Opens short connections to the file at ``path``, one per read or write."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # kept open: the last connection to close would fold the write-ahead log, at a cost
        self._anchor = self._connect()
        self._anchor.execute("PRAGMA journal_mode = WAL")
        self._anchor.executescript(_SCHEMA)

    def close(self) -> None:
        """Fold the log into the file; no read or write may follow."""
        self._anchor.close()

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """A connection whose reads all see one state of the database."""
        with closing(self._connect()) as connection:
            connection.execute("BEGIN")
            yield connection

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """A connection that alone may write; leaving with an exception undoes everything."""
        with closing(self._connect()) as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.rollback()
                raise
            connection.commit()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path, timeout=60, isolation_level=None, check_same_thread=False
        )
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA foreign_keys = ON")
        return connection
