"""Takes the Hub's webhooks as hints that something moved; the look that follows is what counts.

Source of the payload: huggingface.co/docs/hub/webhooks. The Hub sends the secret as it is, in
`X-Webhook-Secret`; it is compared in constant time. References of pull requests fire too and mean
nothing here.
"""

import hmac
from collections.abc import Callable

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

MAIN = "refs/heads/main"
LARGEST = 1 << 20
HINTED, IGNORED, MALFORMED, UNKNOWN, TOO_LARGE = 202, 204, 400, 401, 413


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class _Event(_Part):
    scope: str


class _Repo(_Part):
    type: str
    head: str = Field(default="", alias="headSha")


class _Ref(_Part):
    ref: str
    new: str | None = Field(default=None, alias="newSha")


class Payload(_Part):
    """What a webhook says, as far as it matters."""

    event: _Event
    repo: _Repo
    refs: tuple[_Ref, ...] = Field(default=(), alias="updatedRefs")

    @property
    def commit(self) -> str:
        """The new head of a model's `main`; empty where the webhook tells of something else."""
        if self.repo.type != "model" or self.event.scope != "repo.content":
            return ""
        moved = [ref.new or self.repo.head for ref in self.refs if ref.ref == MAIN]
        return moved[0] if moved else ""


def application(secret: SecretStr, hint: Callable[[str], object]) -> Starlette:
    """The receiver, an ASGI application with one address, `/`.

    Args:
        secret: that the Hub was given; must not be empty.
        hint: called with the new commit.
    """
    wanted = secret.get_secret_value().encode()

    async def receive(request: Request) -> Response:
        # Starlette reads headers as Latin-1; this gives back the bytes that were sent.
        given = request.headers.get("x-webhook-secret", "").encode("latin-1")
        if not hmac.compare_digest(given, wanted):
            return PlainTextResponse("unknown secret", UNKNOWN)
        body = await _body(request)
        if body is None:
            return PlainTextResponse("too large", TOO_LARGE)
        try:
            commit = Payload.model_validate_json(body).commit
        except ValidationError:
            return PlainTextResponse("not a webhook of the Hub", MALFORMED)
        if not commit:
            return Response(status_code=IGNORED)
        await run_in_threadpool(hint, commit)
        return PlainTextResponse("looking", HINTED)

    return Starlette(routes=[Route("/", receive, methods=["POST"])])


async def _body(request: Request) -> bytes | None:
    """The body; None for one that no webhook has."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST:
            return None
    return body
