"""Repositories, commits, branches and tags in the database."""

import json
import re
import sqlite3
from collections.abc import Iterator
from dataclasses import astuple
from datetime import UTC, datetime
from typing import Literal

from . import git
from .errors import conflict, revision_not_found
from .records import Commit, File, Gate, Manifest, Ref, Repo

DEFAULT_BRANCH = "main"
_ABBREVIATED = re.compile(r"[0-9a-f]{7,40}")


def now() -> datetime:
    """The current time in UTC, to the millisecond."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def timestamp(moment: datetime) -> str:
    """ISO 8601 as the Hub writes it: ``2026-01-31T12:00:00.000Z``."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def find_repo(db: sqlite3.Connection, kind: str, repo_id: str) -> Repo | None:
    """The repository, None when it does not exist."""
    row = db.execute("SELECT * FROM repos WHERE kind = ? AND id = ?", (kind, repo_id)).fetchone()
    return _repo(row) if row else None


def list_repos(db: sqlite3.Connection, kind: str) -> list[Repo]:
    """Every repository of a kind, the last modified first."""
    rows = db.execute("SELECT * FROM repos WHERE kind = ? ORDER BY modified_at DESC, id", (kind,))
    return [_repo(row) for row in rows]


def create_repo(
    db: sqlite3.Connection, kind: str, repo_id: str, *, private: bool, gated: Gate
) -> Repo:
    """Make a repository without commits; its name must be free."""
    moment = timestamp(now())
    row = db.execute(
        "INSERT INTO repos (kind, id, private, gated, created_at, modified_at)"
        " VALUES (?, ?, ?, ?, ?, ?) RETURNING *",
        (kind, repo_id, private, gated, moment, moment),
    ).fetchone()
    return _repo(row)


def update_repo(db: sqlite3.Connection, repo: Repo, *, private: bool, gated: Gate) -> None:
    """Change a repository's settings."""
    db.execute("UPDATE repos SET private = ?, gated = ? WHERE key = ?", (private, gated, repo.key))


def delete_repo(db: sqlite3.Connection, repo: Repo) -> None:
    """Forget a repository with its history; contents stay, another one may share them."""
    db.execute("DELETE FROM repos WHERE key = ?", (repo.key,))


def list_refs(db: sqlite3.Connection, repo: Repo) -> list[Ref]:
    """Branches and tags by name."""
    query = "SELECT kind, name, sha FROM refs WHERE repo = ? ORDER BY name"
    return [Ref(**row) for row in db.execute(query, (repo.key,))]


def add_ref(
    db: sqlite3.Connection, repo: Repo, kind: Literal["branch", "tag"], name: str, sha: str
) -> None:
    """Create a branch or tag.

    Raises:
        HubError: 409 when it exists.
    """
    if db.execute(
        "SELECT 1 FROM refs WHERE repo = ? AND kind = ? AND name = ?", (repo.key, kind, name)
    ).fetchone():
        raise conflict(f"Reference already exists: {kind} {name}")
    db.execute("INSERT INTO refs VALUES (?, ?, ?, ?)", (repo.key, kind, name, sha))


def remove_ref(
    db: sqlite3.Connection, repo: Repo, kind: Literal["branch", "tag"], name: str
) -> None:
    """Delete a branch or tag.

    Raises:
        HubError: 404 RevisionNotFound when there is none.
    """
    query = "DELETE FROM refs WHERE repo = ? AND kind = ? AND name = ?"
    if db.execute(query, (repo.key, kind, name)).rowcount == 0:
        raise revision_not_found(name)


def resolve(db: sqlite3.Connection, repo: Repo, revision: str) -> Commit:
    """The commit that a branch, a tag or a (7 digits or more) commit id stands for.

    Raises:
        HubError: 404 RevisionNotFound.
    """
    row = db.execute(
        "SELECT c.* FROM refs r JOIN commits c ON c.repo = r.repo AND c.sha = r.sha"
        " WHERE r.repo = ? AND r.name = ? ORDER BY r.kind LIMIT 1",
        (repo.key, revision),
    ).fetchone()
    if row is None and _ABBREVIATED.fullmatch(revision):
        query = "SELECT * FROM commits WHERE repo = ? AND sha GLOB ? LIMIT 2"
        rows = db.execute(query, (repo.key, f"{revision}*")).fetchall()
        row = rows[0] if len(rows) == 1 else None
    if row is None:
        raise revision_not_found(revision)
    return _commit(row)


def branch_head(db: sqlite3.Connection, repo: Repo, branch: str) -> Commit:
    """The last commit of a branch.

    Raises:
        HubError: 404 RevisionNotFound.
    """
    row = db.execute(
        "SELECT c.* FROM refs r JOIN commits c ON c.repo = r.repo AND c.sha = r.sha"
        " WHERE r.repo = ? AND r.kind = 'branch' AND r.name = ?",
        (repo.key, branch),
    ).fetchone()
    if row is None:
        raise revision_not_found(branch)
    return _commit(row)


def ancestry(db: sqlite3.Connection, repo: Repo, commit: Commit) -> Iterator[Commit]:
    """``commit``, its parent, and so on to the first one."""
    current: Commit | None = commit
    while current is not None:
        yield current
        query = "SELECT * FROM commits WHERE repo = ? AND sha = ?"
        row = db.execute(query, (repo.key, current.parent)).fetchone()
        current = _commit(row) if row else None


def manifest(db: sqlite3.Connection, commit: Commit) -> Manifest:
    """Every file of a commit, by path."""
    row = db.execute("SELECT manifest FROM trees WHERE oid = ?", (commit.tree,)).fetchone()
    return {path: File(*fields) for path, fields in json.loads(row["manifest"]).items()}


def add_commit(
    db: sqlite3.Connection,
    repo: Repo,
    branch: str,
    parent: Commit | None,
    files: Manifest,
    *,
    author: str,
    title: str,
    message: str = "",
) -> Commit:
    """Record ``files`` as the new head of ``branch``; a change of nothing yields ``parent``."""
    moment = now()
    tree = git.tree_ids(files)[""]
    if parent is not None and parent.tree == tree:
        return parent
    parent_sha = parent.sha if parent else None
    sha = git.commit_id(tree, parent_sha, author, moment, title, message)
    commit = Commit(sha, parent_sha, tree, title, message, author, timestamp(moment))
    rows = json.dumps({path: astuple(file) for path, file in sorted(files.items())})
    db.execute("INSERT OR IGNORE INTO trees VALUES (?, ?)", (tree, rows))
    db.execute(
        "INSERT OR IGNORE INTO commits VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (repo.key, *astuple(commit)),
    )
    db.execute("INSERT OR REPLACE INTO refs VALUES (?, 'branch', ?, ?)", (repo.key, branch, sha))
    db.execute("UPDATE repos SET modified_at = ? WHERE key = ?", (commit.date, repo.key))
    return commit


def last_changes(db: sqlite3.Connection, repo: Repo, commit: Commit) -> dict[str, Commit]:
    """For every file of ``commit``, the commit that gave it its present content."""
    files = manifest(db, commit)
    changed = dict.fromkeys(files, commit)
    unsettled = set(files)
    for ancestor in ancestry(db, repo, commit):
        older = manifest(db, ancestor)
        unsettled = {path for path in unsettled if older.get(path) == files[path]}
        changed.update(dict.fromkeys(unsettled, ancestor))
        if not unsettled:
            break
    return changed


def _repo(row: sqlite3.Row) -> Repo:
    fields = dict(row)
    return Repo(**{**fields, "private": bool(fields["private"])})


def _commit(row: sqlite3.Row) -> Commit:
    fields = dict(row)
    del fields["repo"]
    return Commit(**fields)
