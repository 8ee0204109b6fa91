"""Look into a revision: folders, paths, history."""

import sqlite3
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs

from pydantic import BaseModel, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from . import git, history
from .access import visible_repo
from .describe import file_json, folder_json, last_commit_json
from .endpoint import MAX_JSON_BYTES, body_chunks, describe, flag, paged, param
from .errors import bad_request, entry_not_found
from .hub import Hub, hub_of
from .records import Commit, Manifest, Repo


class Paths(BaseModel):
    """Body of paths-info."""

    paths: list[str]
    expand: bool = False


def tree(request: Request) -> Response:
    """Files and folders of a revision below a path."""
    hub, folder = hub_of(request), param(request, "path").strip("/")
    with hub.database.read() as db:
        repo = visible_repo(request, db)
        commit = history.resolve(db, repo, param(request, "revision"))
        files = history.manifest(db, commit)
        listed = list(_below(files, folder, recursive=flag(request, "recursive")))
        if folder and not listed:
            raise entry_not_found(folder)
        entries = _entries(hub, db, files, listed)
        if flag(request, "expand"):
            _add_last_commits(db, repo, commit, entries)
    return paged(request, entries)


async def paths_info(request: Request) -> Response:
    """The named files and folders that exist; the body is JSON or a form."""
    body = b"".join([chunk async for chunk in body_chunks(request, MAX_JSON_BYTES)])
    try:
        if "json" in request.headers.get("content-type", ""):
            wanted = Paths.model_validate_json(body)
        else:
            form = parse_qs(body.decode())
            wanted = Paths.model_validate(
                {"paths": form.get("paths", []), "expand": form.get("expand", ["false"])[-1]}
            )
    except (ValidationError, UnicodeDecodeError) as error:
        message = describe(error) if isinstance(error, ValidationError) else str(error)
        raise bad_request(message) from None
    return await run_in_threadpool(_paths_info, request, wanted)


def _paths_info(request: Request, wanted: Paths) -> Response:
    hub = hub_of(request)
    with hub.database.read() as db:
        repo = visible_repo(request, db)
        commit = history.resolve(db, repo, param(request, "revision"))
        files = history.manifest(db, commit)
        paths = [path.strip("/") for path in wanted.paths]
        folders = git.tree_ids(files)
        entries = _entries(hub, db, files, [p for p in paths if p in files or p in folders])
        if wanted.expand:
            _add_last_commits(db, repo, commit, entries)
    return JSONResponse(entries)


def refs(request: Request) -> Response:
    """Branches and tags."""
    with hub_of(request).database.read() as db:
        listed = history.list_refs(db, visible_repo(request, db))

    def of_kind(kind: str, folder: str) -> list[dict[str, str]]:
        return [
            {"name": ref.name, "ref": f"refs/{folder}/{ref.name}", "targetCommit": ref.sha}
            for ref in listed
            if ref.kind == kind
        ]

    branches, tags = of_kind("branch", "heads"), of_kind("tag", "tags")
    empty: dict[str, list[str]] = {"converts": [], "pullRequests": []}
    return JSONResponse({"branches": branches, "tags": tags, **empty})


def commits(request: Request) -> Response:
    """The history of a revision, the newest commit first."""
    with hub_of(request).database.read() as db:
        repo = visible_repo(request, db)
        start = history.resolve(db, repo, param(request, "revision"))
        listed = [_commit_json(commit) for commit in history.ancestry(db, repo, start)]
    return paged(request, listed)


def _commit_json(commit: Commit) -> dict[str, Any]:
    return {
        "id": commit.sha,
        "title": commit.title,
        "message": commit.message,
        "authors": [{"user": commit.author}],
        "date": commit.date,
    }


def _below(files: Manifest, folder: str, *, recursive: bool) -> Iterator[str]:
    prefix = f"{folder}/" if folder else ""
    seen = set()
    for path in sorted(files):
        if not path.startswith(prefix):
            continue
        parts = path[len(prefix) :].split("/")
        depth = len(parts) if recursive else 1
        for length in range(1, depth + 1):
            entry = prefix + "/".join(parts[:length])
            if entry not in seen:
                seen.add(entry)
                yield entry


def _entries(
    hub: Hub, db: sqlite3.Connection, files: Manifest, paths: list[str]
) -> list[dict[str, Any]]:
    folders = git.tree_ids(files)
    hashes = hub.xet.hashes(db) if hub.xet else {}
    return [
        file_json(path, files[path], hashes.get(files[path].sha256))
        if path in files
        else folder_json(path, folders[path])
        for path in paths
    ]


def _add_last_commits(
    db: sqlite3.Connection, repo: Repo, commit: Commit, entries: list[dict[str, Any]]
) -> None:
    changed = history.last_changes(db, repo, commit)
    for entry in entries:
        below = [c for p, c in changed.items() if f"{p}/".startswith(f"{entry['path']}/")]
        entry["lastCommit"] = last_commit_json(max(below, key=lambda c: c.date))


_REPO = "/api/{kind:kind}/{namespace}/{name}"
routes = [
    Route(f"{_REPO}/tree/{{revision}}", tree),
    Route(f"{_REPO}/tree/{{revision}}/{{path:path}}", tree),
    Route(f"{_REPO}/paths-info/{{revision}}", paths_info, methods=["POST"]),
    Route(f"{_REPO}/refs", refs),
    Route(f"{_REPO}/commits/{{revision}}", commits),
]
