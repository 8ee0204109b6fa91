"""Upload large files: the LFS batch API with its basic and multipart transfers."""

import hashlib
import re
import secrets
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from .access import writable_repo
from .endpoint import base_url, param, with_body
from .errors import HubError, bad_request
from .hub import Hub, hub_of
from .operations import SHA256

_MEDIA_TYPE = "application/vnd.git-lfs+json"
_WRITE_BYTES = 1 << 20


class Wanted(BaseModel):
    """An object that the client has: SHA-256 (hex) and bytes."""

    oid: str = Field(pattern=SHA256)
    size: int = Field(ge=0)


class Batch(BaseModel):
    """Body of the batch request (git-lfs batch API)."""

    operation: str
    objects: list[Wanted]
    transfers: list[str] = ["basic"]


class Part(BaseModel):
    """A part that the client has sent, with the ETag it got."""

    partNumber: int = Field(ge=1)  # noqa: N815 - the protocol's name
    etag: str


class Completion(BaseModel):
    """Body of the request that ends a multipart upload."""

    oid: str = Field(pattern=SHA256)
    parts: list[Part]


def batch(request: Request, body: Batch) -> Response:
    """Where to send the objects that are not here yet."""
    hub = hub_of(request)
    if body.operation != "upload":
        raise bad_request("Only uploads go through this endpoint; files are read with resolve.")
    with hub.database.read() as db:
        writable_repo(request, db)
    multipart = "multipart" in body.transfers
    objects = []
    for wanted in body.objects:
        described: dict[str, Any] = {"oid": wanted.oid, "size": wanted.size}
        if hub.blobs.size(wanted.oid) != wanted.size:
            large = multipart and wanted.size > hub.settings.multipart_threshold
            described["actions"] = _actions(hub, base_url(request), wanted, multipart=large)
        objects.append(described)
    answer = {"transfer": "multipart" if multipart else "basic", "objects": objects}
    return JSONResponse(answer, media_type=_MEDIA_TYPE)


def _actions(hub: Hub, base: str, wanted: Wanted, *, multipart: bool) -> dict[str, Any]:
    def link(path: str) -> str:
        return base + hub.signer.sign(path)

    verify = {"href": link(f"/_lfs/verify/{wanted.oid}")}
    if not multipart:
        return {"upload": {"href": link(f"/_lfs/upload/{wanted.oid}")}, "verify": verify}
    upload, part_size = secrets.token_hex(16), hub.settings.part_size
    header = {"chunk_size": str(part_size)}
    for number in range(1, -(-wanted.size // part_size) + 1):
        header[f"{number:05d}"] = link(f"/_lfs/part/{upload}/{number}")
    complete = link(f"/_lfs/complete/{upload}/{wanted.oid}")
    return {"upload": {"href": complete, "header": header}, "verify": verify}


async def upload(request: Request) -> Response:
    """Receive a whole object."""
    hub, oid = hub_of(request), param(request, "oid")
    hub.signer.check(request)
    with hub.blobs.receive() as incoming:
        async for piece in _pieces(request):
            await run_in_threadpool(incoming.write, piece)
        await run_in_threadpool(incoming.keep, oid)
    return Response(headers={"ETag": f'"{oid}"'})


async def upload_part(request: Request) -> Response:
    """Receive one part of an object; its ETag is its MD5."""
    hub = hub_of(request)
    hub.signer.check(request)
    folder = hub.blobs.staging(param(request, "upload"))
    digest = hashlib.md5(usedforsecurity=False)
    received = folder / f"incoming-{secrets.token_hex(8)}"
    with received.open("wb") as file:
        async for piece in _pieces(request):
            await run_in_threadpool(file.write, piece)
            await run_in_threadpool(digest.update, piece)
    # a part sent twice is one file; completion picks by the ETag that the client was given
    received.replace(folder / f"{param(request, 'number')}-{digest.hexdigest()}")
    return Response(headers={"ETag": f'"{digest.hexdigest()}"'})


def complete(request: Request, body: Completion) -> Response:
    """Put the parts together; the same request again is answered alike."""
    hub, oid = hub_of(request), param(request, "oid")
    hub.signer.check(request)
    if hub.blobs.size(oid) is None:
        folder = hub.blobs.staging(param(request, "upload"))
        ordered = sorted(body.parts, key=lambda part: part.partNumber)
        parts = [_part_file(folder, part) for part in ordered]
        _join(hub, parts, oid)
        shutil.rmtree(folder, ignore_errors=True)
    return JSONResponse({"success": True})


def _part_file(folder: Path, part: Part) -> Path:
    etag = part.etag.strip('"')
    path = folder / f"{part.partNumber}-{etag}"
    if not re.fullmatch(r"[0-9a-f]{32}", etag) or not path.is_file():
        raise bad_request(f"Part {part.partNumber} with ETag {part.etag} was not uploaded.")
    return path


def _join(hub: Hub, parts: list[Path], oid: str) -> None:
    with hub.blobs.receive() as incoming:
        for part in parts:
            with part.open("rb") as file:
                while piece := file.read(_WRITE_BYTES):
                    incoming.write(piece)
        incoming.keep(oid)


def verify(request: Request, body: Wanted) -> Response:
    """200 when the object is here in full."""
    hub = hub_of(request)
    hub.signer.check(request)
    if body.oid != param(request, "oid") or hub.blobs.size(body.oid) != body.size:
        raise HubError(404, f"Object {body.oid} of {body.size} bytes is not here.")
    return JSONResponse({})


async def _pieces(request: Request) -> AsyncIterator[bytes]:
    """The body in pieces large enough to be worth a trip to the thread pool."""
    gathered = bytearray()
    async for chunk in request.stream():
        gathered += chunk
        if len(gathered) >= _WRITE_BYTES:
            yield bytes(gathered)
            gathered.clear()
    if gathered:
        yield bytes(gathered)


_batch = with_body(Batch, batch)
routes = [
    Route(f"{prefix}/{{namespace}}/{{name}}.git/info/lfs/objects/batch", _batch, methods=["POST"])
    for prefix in ("/{kind:kind}", "")
] + [
    Route("/_lfs/upload/{oid}", upload, methods=["PUT"]),
    Route("/_lfs/part/{upload}/{number}", upload_part, methods=["PUT"]),
    Route("/_lfs/complete/{upload}/{oid}", with_body(Completion, complete), methods=["POST"]),
    Route("/_lfs/verify/{oid}", with_body(Wanted, verify), methods=["POST"]),
]
