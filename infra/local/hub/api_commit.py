"""Commit to a branch: the upload modes beforehand, then all changes at once."""

import fnmatch
from collections.abc import AsyncIterator
from http import HTTPStatus

from pydantic import Base64Bytes, BaseModel, Field, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from . import git, history
from .access import writable_repo
from .card import parse_card
from .describe import CARD, small_text
from .endpoint import base_url, body_chunks, describe, flag, param, with_body
from .errors import HubError, bad_request
from .hub import Hub, hub_of
from .operations import (
    LINE,
    FileLine,
    Header,
    HeaderLine,
    LfsFile,
    LfsLine,
    RegularFile,
    Step,
    apply,
)
from .records import Commit, File

MAX_COMMIT_BYTES = 2 << 30
MAX_LINE_BYTES = 64 << 20


class Announced(BaseModel):
    """A file to come: path, bytes, and its first 512 bytes."""

    path: str
    size: int = Field(ge=0)
    sample: Base64Bytes = b""


class Announcement(BaseModel):
    """Body of preupload."""

    files: list[Announced]
    gitIgnore: str | None = None  # noqa: N815 - the protocol's name


class Proposal:
    """A commit request as it is read; contents go to the blob store line by line."""

    def __init__(self, hub: Hub) -> None:
        self.header: Header | None = None
        self.steps: list[Step] = []
        self._hub = hub

    def add(self, raw: bytes) -> None:
        """Take in one line of the request.

        Raises:
            HubError: 400 for a malformed line, a wrong model card or a content never uploaded.
        """
        try:
            line = LINE.validate_json(raw)
        except ValidationError as error:
            raise bad_request(describe(error)) from None
        match line:
            case HeaderLine():
                self.header = line.value
            case FileLine():
                self.steps.append((line.value.path, self._regular(line.value)))
            case LfsLine():
                self.steps.append((line.value.path, self._lfs(line.value)))
            case _:
                self.steps.append(line)

    def _regular(self, value: RegularFile) -> File:
        if value.path == CARD:
            card = parse_card(value.content.decode(errors="replace"))
            if card.errors:
                raise bad_request(f"Invalid metadata in {CARD}: {'; '.join(card.errors)}")
        file = git.regular_file(value.content)
        self._hub.blobs.put(value.content, file.sha256)
        return file

    def _lfs(self, value: LfsFile) -> File:
        if self._hub.xet and self._hub.blobs.size(value.oid) is None:
            self._hub.xet.bring(value.oid, self._hub.database, self._hub.blobs)
        size = self._hub.blobs.size(value.oid)
        if size is None or value.size not in {None, size}:
            raise bad_request(f"LFS pointer pointed to a file that does not exist: {value.path}")
        return git.lfs_file(value.oid, size)


def preupload(request: Request, body: Announcement) -> Response:
    """How to upload each file, and the id of what its path holds now."""
    hub = hub_of(request)
    with hub.database.read() as db:
        repo, _ = writable_repo(request, db)
        files = history.manifest(db, history.resolve(db, repo, param(request, "revision")))
    patterns = _lfs_patterns(small_text(hub, files.get(".gitattributes")) or "")
    ignored = _ignore_patterns(body.gitIgnore or small_text(hub, files.get(".gitignore")) or "")
    answer = []
    for file in body.files:
        lfs = file.size > hub.settings.lfs_threshold or b"\0" in file.sample
        lfs = lfs or _named(file.path, patterns)
        row = {"path": file.path, "uploadMode": "lfs" if lfs and file.size else "regular"}
        skip = _named(file.path, ignored)
        answer.append({**row, "shouldIgnore": skip, "oid": _content_id(files.get(file.path))})
    return JSONResponse({"files": answer})


async def commit(request: Request) -> Response:
    """Apply the request's lines to a branch, all or none.

    Errors: 412 when the branch moved past ``parentCommit``; 400 and 404 as Proposal and apply.
    """
    if flag(request, "create_pr"):
        raise bad_request("Pull requests are not supported by this server.")
    await run_in_threadpool(_check_writable, request)
    proposal, error = Proposal(hub_of(request)), None
    # read on after a bad line: a client that is still sending would not see the answer
    async for line in _lines(request):
        try:
            if error is None:
                await run_in_threadpool(proposal.add, line)
        except HubError as refusal:
            error = refusal
    if error is not None:
        raise error
    return await run_in_threadpool(_commit, request, proposal)


def _check_writable(request: Request) -> None:
    with hub_of(request).database.read() as db:
        repo, _ = writable_repo(request, db)
        history.branch_head(db, repo, param(request, "revision"))


def _commit(request: Request, proposal: Proposal) -> Response:
    if proposal.header is None:
        raise bad_request("The commit has no header line.")
    header, branch = proposal.header, param(request, "revision")
    with hub_of(request).database.write() as db:
        repo, user = writable_repo(request, db)
        head = history.branch_head(db, repo, branch)
        _check_parent(head, header.parentCommit)
        files = apply(proposal.steps, history.manifest(db, head))
        title, message = header.summary, header.description
        made = history.add_commit(
            db, repo, branch, head, files, author=user.name, title=title, message=message
        )
    url = f"{base_url(request)}/{repo.path}/commit/{made.sha}"
    return JSONResponse(
        {"success": True, "commitOid": made.sha, "commitUrl": url, "hookOutput": ""}
    )


def _check_parent(head: Commit, parent: str | None) -> None:
    if parent is not None and not head.sha.startswith(parent):
        raise HubError(
            HTTPStatus.PRECONDITION_FAILED,
            "A commit has happened since. Please refresh and try again.",
        )


async def _lines(request: Request) -> AsyncIterator[bytes]:
    rest = bytearray()
    async for chunk in body_chunks(request, MAX_COMMIT_BYTES):
        *whole, last = chunk.split(b"\n")
        for piece in whole:
            line = bytes(rest + piece)
            rest.clear()
            if line.strip():
                yield line
        rest += last
        if len(rest) > MAX_LINE_BYTES:
            raise HubError(413, "A file is too large to be committed without LFS.")
    if rest.strip():
        yield bytes(rest)


def _content_id(file: File | None) -> str | None:
    if file is None:
        return None
    return file.sha256 if file.lfs else file.oid


def _lfs_patterns(gitattributes: str) -> list[str]:
    rows = (line.split() for line in gitattributes.splitlines())
    return [row[0] for row in rows if "filter=lfs" in row[1:]]


def _ignore_patterns(gitignore: str) -> list[str]:
    rows = (line.strip() for line in gitignore.splitlines())
    return [row for row in rows if row and not row.startswith("#")]


def _named(path: str, patterns: list[str]) -> bool:
    name = path.rpartition("/")[2]
    return any(
        fnmatch.fnmatchcase(path if "/" in pattern else name, pattern.lstrip("/"))
        for pattern in patterns
    )


_REPO = "/api/{kind:kind}/{namespace}/{name}"
routes = [
    Route(f"{_REPO}/preupload/{{revision}}", with_body(Announcement, preupload), methods=["POST"]),
    Route(f"{_REPO}/commit/{{revision}}", commit, methods=["POST"]),
]
