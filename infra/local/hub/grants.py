"""Who may download from a gated repository."""

import sqlite3
from dataclasses import dataclass
from typing import Literal

from .history import now, timestamp
from .records import Repo

Status = Literal["pending", "accepted", "rejected"]


@dataclass(frozen=True, slots=True)
class Grant:
    """A user's request for access and what became of it."""

    user: str
    status: Status
    date: str


def status(db: sqlite3.Connection, repo: Repo, user: str) -> Status | None:
    """What became of ``user``'s request, None when there is none."""
    query = "SELECT status FROM grants WHERE repo = ? AND user = ?"
    row = db.execute(query, (repo.key, user)).fetchone()
    return row["status"] if row else None


def put(db: sqlite3.Connection, repo: Repo, user: str, status: Status) -> None:
    """Record or change a user's request."""
    db.execute(
        "INSERT OR REPLACE INTO grants VALUES (?, ?, ?, ?)",
        (repo.key, user, status, timestamp(now())),
    )


def listed(db: sqlite3.Connection, repo: Repo, status: str) -> list[Grant]:
    """The requests with this status, by user name."""
    query = "SELECT user, status, date FROM grants WHERE repo = ? AND status = ? ORDER BY user"
    return [Grant(**row) for row in db.execute(query, (repo.key, status))]
