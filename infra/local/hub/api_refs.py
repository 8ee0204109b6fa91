"""Make and delete branches and tags."""

import re

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from . import history
from .access import writable_repo
from .endpoint import param, with_body
from .errors import bad_request, forbidden
from .history import DEFAULT_BRANCH
from .hub import hub_of

# git-check-ref-format, less what nobody needs
_REF_NAME = re.compile(r"(?!.*(\.\.|//|@\{|\.lock$))[A-Za-z0-9_][A-Za-z0-9._/+@-]{0,199}(?<![./])")


class NewBranch(BaseModel):
    """Body of branch creation."""

    startingPoint: str = DEFAULT_BRANCH  # noqa: N815 - the protocol's name


class NewTag(BaseModel):
    """Body of tag creation; the message of an annotated tag is not kept."""

    tag: str
    message: str | None = None


def create_branch(request: Request, body: NewBranch) -> Response:
    """Make a branch at a revision; 409 when it exists."""
    name = _checked(param(request, "revision"))
    with hub_of(request).database.write() as db:
        repo, _ = writable_repo(request, db)
        sha = history.resolve(db, repo, body.startingPoint).sha
        history.add_ref(db, repo, "branch", name, sha)
    return JSONResponse({})


def delete_branch(request: Request) -> Response:
    """Delete a branch; the default one stays."""
    name = param(request, "revision")
    with hub_of(request).database.write() as db:
        repo, _ = writable_repo(request, db)
        if name == DEFAULT_BRANCH:
            raise forbidden(f"Cannot delete the branch {DEFAULT_BRANCH}")
        history.remove_ref(db, repo, "branch", name)
    return JSONResponse({})


def create_tag(request: Request, body: NewTag) -> Response:
    """Tag a revision; 409 when the tag exists."""
    name = _checked(body.tag)
    with hub_of(request).database.write() as db:
        repo, _ = writable_repo(request, db)
        sha = history.resolve(db, repo, param(request, "revision")).sha
        history.add_ref(db, repo, "tag", name, sha)
    return JSONResponse({})


def delete_tag(request: Request) -> Response:
    """Delete a tag."""
    with hub_of(request).database.write() as db:
        repo, _ = writable_repo(request, db)
        history.remove_ref(db, repo, "tag", param(request, "revision"))
    return JSONResponse({})


def _checked(name: str) -> str:
    if not _REF_NAME.fullmatch(name):
        raise bad_request(f"Invalid reference name: {name!r}")
    return name


_BRANCH = "/api/{kind:kind}/{namespace}/{name}/branch/{revision}"
_TAG = "/api/{kind:kind}/{namespace}/{name}/tag/{revision}"
routes = [
    Route(_BRANCH, with_body(NewBranch, create_branch), methods=["POST"]),
    Route(_BRANCH, delete_branch, methods=["DELETE"]),
    Route(_TAG, with_body(NewTag, create_tag), methods=["POST"]),
    Route(_TAG, delete_tag, methods=["DELETE"]),
]
