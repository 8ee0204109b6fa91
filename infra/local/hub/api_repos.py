"""Make, delete and configure repositories."""

from typing import Literal

from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from . import history
from .access import downloadable_repo, may_see, signed_in, writable_repo
from .endpoint import base_url, with_body
from .errors import bad_request, repo_not_found
from .git import regular_file
from .hub import hub_of
from .records import Gate

Kind = Literal["model", "dataset", "space"]
Gating = Literal["auto", "manual", False]
NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,95}$"
# what the Hub puts into every new repository: which names go to LFS
GITATTRIBUTES = "".join(
    f"*.{suffix} filter=lfs diff=lfs merge=lfs -text\n"
    for suffix in (
        *("7z", "arrow", "bin", "bz2", "ckpt", "ftz", "gguf", "gz", "h5", "joblib", "lfs.*"),
        *("mlmodel", "model", "msgpack", "npy", "npz", "onnx", "ot", "parquet", "pb", "pickle"),
        *("pkl", "pt", "pth", "rar", "safetensors", "tar", "tar.*", "tflite", "tgz", "wasm"),
        *("xz", "zip", "zst"),
    )
).encode()


class RepoName(BaseModel):
    """Body of repos/delete: which repository."""

    name: str = Field(pattern=NAME)
    organization: str | None = Field(default=None, pattern=NAME)
    type: Kind = "model"

    @property
    def kind(self) -> str:
        """The kind as it stands in API paths."""
        return f"{self.type}s"


class NewRepo(RepoName):
    """Body of repos/create; ``gated`` is this server's own addition."""

    private: bool | None = None
    visibility: Literal["public", "private"] | None = None
    gated: Gating = False


class RepoSettings(BaseModel):
    """Body of the settings endpoint; what is absent stays as it is."""

    private: bool | None = None
    visibility: Literal["public", "private"] | None = None
    gated: Gating | None = None


def create(request: Request, body: NewRepo) -> Response:
    """Make a repository with its first commit; 409 with its URL when it exists."""
    hub, user = hub_of(request), signed_in(request)
    namespace = body.organization or user.name
    user.require_write(namespace)
    repo_id = f"{namespace}/{body.name}"
    prefix = "" if body.kind == "models" else f"{body.kind}/"
    answer = {"url": f"{base_url(request)}/{prefix}{repo_id}", "name": repo_id, "id": repo_id}
    first = regular_file(GITATTRIBUTES)
    hub.blobs.put(GITATTRIBUTES, first.sha256)
    with hub.database.write() as db:
        if history.find_repo(db, body.kind, repo_id):
            error = f"You already created this {body.type} repo"
            return JSONResponse({"error": error, **answer}, 409)
        private = _is_private(body)
        repo = history.create_repo(
            db, body.kind, repo_id, private=bool(private), gated=body.gated or None
        )
        files = {".gitattributes": first}
        history.add_commit(db, repo, "main", None, files, author=user.name, title="initial commit")
    return JSONResponse(answer)


def delete(request: Request, body: RepoName) -> Response:
    """Delete a repository with its history."""
    user = signed_in(request)
    namespace = body.organization or user.name
    with hub_of(request).database.write() as db:
        repo = history.find_repo(db, body.kind, f"{namespace}/{body.name}")
        if repo is None or not may_see(user, repo):
            raise repo_not_found(anonymous=False)
        user.require_write(namespace)
        history.delete_repo(db, repo)
    return JSONResponse({})


def configure(request: Request, body: RepoSettings) -> Response:
    """Change who may see and download a repository."""
    with hub_of(request).database.write() as db:
        repo, _ = writable_repo(request, db)
        private = _is_private(body)
        gate: Gate = repo.gated if body.gated is None else body.gated or None
        history.update_repo(
            db, repo, private=repo.private if private is None else private, gated=gate
        )
        return JSONResponse({"private": private, "gated": gate or False})


def may_read(request: Request) -> Response:
    """200 when the caller may download from the repository."""
    with hub_of(request).database.read() as db:
        downloadable_repo(request, db)
    return JSONResponse({})


def may_write(request: Request) -> Response:
    """200 when the caller may write to the repository."""
    with hub_of(request).database.read() as db:
        writable_repo(request, db)
    return JSONResponse({})


def _is_private(body: NewRepo | RepoSettings) -> bool | None:
    if body.visibility is not None:
        if body.private is not None and body.private != (body.visibility == "private"):
            raise bad_request("private and visibility contradict each other.")
        return body.visibility == "private"
    return body.private


_REPO = "/api/{kind:kind}/{namespace}/{name}"
routes = [
    Route("/api/repos/create", with_body(NewRepo, create), methods=["POST"]),
    Route("/api/repos/delete", with_body(RepoName, delete), methods=["DELETE", "POST"]),
    Route(f"{_REPO}/settings", with_body(RepoSettings, configure), methods=["PUT"]),
    Route(f"{_REPO}/auth-check", may_read),
    Route(f"{_REPO}/auth-check/write", may_write),
]
