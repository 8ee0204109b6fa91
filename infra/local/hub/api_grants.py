"""Ask for, grant and revoke access to a gated repository."""

from typing import Literal

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from . import grants
from .access import signed_in, visible_repo, writable_repo
from .endpoint import param, with_body
from .errors import bad_request, conflict
from .grants import Status
from .hub import hub_of


class Grantee(BaseModel):
    """Body of grant: a user name."""

    user: str


class Decision(Grantee):
    """Body of handle: what becomes of the user's request."""

    status: Status


def ask(request: Request) -> Response:
    """Ask for access; an automatic gate opens at once."""
    user = signed_in(request)
    with hub_of(request).database.write() as db:
        repo = visible_repo(request, db)
        if not repo.gated:
            raise bad_request("The repository is not gated.")
        if grants.status(db, repo, user.name) is None:
            status: Literal["accepted", "pending"]
            status = "accepted" if repo.gated == "auto" else "pending"
            grants.put(db, repo, user.name, status)
        return JSONResponse({"status": grants.status(db, repo, user.name)})


def grant(request: Request, body: Grantee) -> Response:
    """Give a user access without a request."""
    with hub_of(request).database.write() as db:
        repo, _ = writable_repo(request, db)
        if not repo.gated:
            raise bad_request("The repository is not gated.")
        if grants.status(db, repo, body.user) == "accepted":
            raise bad_request(f"{body.user} already has access.")
        grants.put(db, repo, body.user, "accepted")
    return JSONResponse({"status": "accepted"})


def handle(request: Request, body: Decision) -> Response:
    """Accept, reject or set back a user's request."""
    with hub_of(request).database.write() as db:
        repo, _ = writable_repo(request, db)
        current = grants.status(db, repo, body.user)
        if current is None:
            raise bad_request(f"{body.user} has not asked for access.")
        if current == body.status:
            raise conflict(f"The request of {body.user} is {current} already.")
        grants.put(db, repo, body.user, body.status)
    return JSONResponse({"status": body.status})


def listing(request: Request) -> Response:
    """The requests with one status."""
    with hub_of(request).database.read() as db:
        repo, _ = writable_repo(request, db)
        listed = grants.listed(db, repo, param(request, "status"))
    return JSONResponse(
        [
            {
                "requestId": row.user,
                "user": {"user": row.user, "fullname": row.user},
                "status": row.status,
                "timestamp": row.date,
            }
            for row in listed
        ]
    )


_REQUESTS = "/api/{kind:kind}/{namespace}/{name}/user-access-request"
routes = [
    Route("/{namespace}/{name}/ask-access", ask, methods=["POST"]),
    Route(f"{_REQUESTS}/grant", with_body(Grantee, grant), methods=["POST"]),
    Route(f"{_REQUESTS}/handle", with_body(Decision, handle), methods=["POST"]),
    Route(f"{_REQUESTS}/{{status}}", listing),
]
