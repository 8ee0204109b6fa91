"""Who am I, is this card valid, is the server up."""

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from .access import signed_in
from .auth import ANY_NAMESPACE
from .card import parse_card
from .endpoint import with_body
from .hub import hub_of


class CardToCheck(BaseModel):
    """Body of validate-yaml: a README."""

    content: str


def whoami(request: Request) -> Response:
    """The caller's name, organisations and token role."""
    user = signed_in(request)
    orgs = [{"type": "org", "name": org} for org in user.orgs if org != ANY_NAMESPACE]
    token = {"displayName": "local", "role": user.role}
    auth = {"type": "access_token", "accessToken": token}
    body = {"type": "user", "id": user.name, "name": user.name, "fullname": user.name}
    return JSONResponse({**body, "orgs": orgs, "auth": auth})


def validate_card(_request: Request, body: CardToCheck) -> Response:
    """Parse a README's metadata; 400 with the errors when it is wrong."""
    card = parse_card(body.content)
    report = {
        "errors": [{"message": message} for message in card.errors],
        "warnings": [{"message": message} for message in card.warnings],
    }
    return JSONResponse(report, 400 if card.errors else 200)


def health(request: Request) -> Response:
    """200 once the state can be read."""
    with hub_of(request).database.read() as db:
        repos = db.execute("SELECT count(*) FROM repos").fetchone()[0]
    return JSONResponse({"status": "ok", "repos": repos})


routes = [
    Route("/healthz", health),
    Route("/api/whoami-v2", whoami),
    Route("/api/validate-yaml", with_body(CardToCheck, validate_card), methods=["POST"]),
]
