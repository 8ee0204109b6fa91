"""Download files: resolve, and the links to large contents that it redirects to."""

from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response
from starlette.routing import Route

from . import history
from .access import downloadable_repo
from .endpoint import base_url, param
from .errors import HubError, entry_not_found
from .hub import Hub, hub_of
from .records import File

_SHOWN = {".gif": "image/gif", ".jpeg": "image/jpeg", ".jpg": "image/jpeg", ".png": "image/png"}
_TEXT = (
    ".css",
    ".csv",
    ".html",
    ".jinja",
    ".json",
    ".jsonl",
    ".md",
    ".py",
    ".svg",
    ".txt",
    ".yaml",
)


class BlobResponse(FileResponse):
    """A stored content; Starlette answers Range, If-Range and HEAD."""

    chunk_size = 1 << 20


def resolve(request: Request) -> Response:
    """A file of a revision: its bytes, or a redirect when it is stored through LFS."""
    hub, path = hub_of(request), param(request, "path")
    with hub.database.read() as db:
        repo = downloadable_repo(request, db)
        commit = history.resolve(db, repo, param(request, "revision"))
        file = history.manifest(db, commit).get(path)
        xet_hash = hub.xet.hash_of(db, file.sha256) if hub.xet and file and file.lfs else None
    headers = {"X-Repo-Commit": commit.sha, "X-Content-Type-Options": "nosniff"}
    if file is None:
        raise entry_not_found(path)
    if not file.lfs:
        headers["ETag"] = f'"{file.oid}"'
        location = hub.blobs.path(file.sha256)
        return BlobResponse(location, headers=headers, media_type=media_type(path))
    if xet_hash:
        token = f"{base_url(request)}/api/{repo.kind}/{repo.id}/xet-read-token/{commit.sha}"
        headers |= {"X-Xet-Hash": xet_hash, "Link": f'<{token}>; rel="xet-auth"'}
    return _redirect(request, hub, file, headers)


def _redirect(request: Request, hub: Hub, file: File, headers: dict[str, str]) -> Response:
    # To another host name, as on the Hub: on the same one the client would follow a HEAD and
    # lose the headers below, and it would send its token along.
    other = "localhost" if request.url.hostname == "127.0.0.1" else "127.0.0.1"
    url = request.url.replace(hostname=hub.settings.content_host or other, path="", query="")
    location = f"{str(url).rstrip('/')}{hub.signer.sign(f'/_cdn/{file.sha256}')}"
    linked = {"X-Linked-Size": str(file.size), "X-Linked-Etag": f'"{file.sha256}"'}
    return RedirectResponse(location, 302, headers | linked)


def content(request: Request) -> Response:
    """The bytes behind a signed link."""
    hub, sha256 = hub_of(request), param(request, "sha256")
    hub.signer.check(request)
    if hub.blobs.size(sha256) is None:
        raise HubError(404, "No such content.")
    headers = {"ETag": f'"{sha256}"', "Cache-Control": "private, immutable, max-age=86400"}
    headers["X-Content-Type-Options"] = "nosniff"
    return BlobResponse(
        hub.blobs.path(sha256), headers=headers, media_type="application/octet-stream"
    )


def media_type(path: str) -> str:
    """Content type to answer with: nothing that a browser would run as a page of this site."""
    suffix = "." + path.rpartition(".")[2].lower()
    if suffix in _SHOWN:
        return _SHOWN[suffix]
    return "text/plain; charset=utf-8" if suffix in _TEXT else "application/octet-stream"


_FILE = "{namespace}/{name}/resolve/{revision}/{path:path}"
routes = [
    Route(f"/{{kind:kind}}/{_FILE}", resolve),
    Route(f"/{_FILE}", resolve),
    Route("/_cdn/{sha256}", content),
]
