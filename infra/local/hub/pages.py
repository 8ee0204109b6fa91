"""The website: what a link to a repository, a file or a commit opens in a browser."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from . import history
from .access import caller, downloadable_repo, may_see, visible_repo
from .describe import CARD, card_of, small_text
from .endpoint import param
from .errors import HubError, entry_not_found
from .history import DEFAULT_BRANCH
from .hub import hub_of
from .markdown import render
from .records import KINDS, Commit, Manifest, Repo

_TEMPLATES = Path(__file__).parent / "templates"
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self';"
    " form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
Page = Callable[[Request], Response]


def human_bytes(size: int) -> str:
    """A size as people read it, in decimal units: ``1.5 MB``."""
    value, unit = float(size), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 1000:  # noqa: PLR2004 - decimal units
            break
        value, unit = value / 1000, larger
    return f"{size} B" if unit == "B" else f"{value:.1f} {unit}"


_ENVIRONMENT = jinja2.Environment(
    loader=jinja2.FileSystemLoader(_TEMPLATES),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.filters["bytes"] = human_bytes
_ENVIRONMENT.filters["path"] = quote


def page(view: Page) -> Page:
    """``view`` with its refusals shown as a page."""

    def endpoint(request: Request) -> Response:
        try:
            return view(request)
        except HubError as error:
            sign_in = f"/login?next={quote(request.url.path)}"
            context = {"error": error, "sign_in": sign_in if error.status == 401 else None}  # noqa: PLR2004
            return _show("error.html", error.status, context)

    return endpoint


@page
def index(request: Request) -> Response:
    """Every repository that the caller may see."""
    user = caller(request)
    with hub_of(request).database.read() as db:
        listed = {
            kind: [repo for repo in history.list_repos(db, kind) if may_see(user, repo)]
            for kind in KINDS
        }
    return _show("index.html", 200, {"listed": listed})


@page
def repo_card(request: Request) -> Response:
    """A repository's README with its metadata."""
    hub = hub_of(request)
    with hub.database.read() as db:
        repo = visible_repo(request, db)
        commit = history.resolve(db, repo, param(request, "revision", DEFAULT_BRANCH))
        files, refs = history.manifest(db, commit), history.list_refs(db, repo)
    card = card_of(hub, files)
    body = render(card.text, quote(repo.path), commit.sha, CARD)
    context = {"card": card, "body": body, "refs": refs, "total": _total(files)}
    return _show("card.html", 200, context | _place(request, repo, commit))


@page
def tree(request: Request) -> Response:
    """The files of a folder with their sizes and hashes."""
    folder = param(request, "path").strip("/")
    with hub_of(request).database.read() as db:
        repo = visible_repo(request, db)
        commit = history.resolve(db, repo, param(request, "revision"))
        files = history.manifest(db, commit)
    prefix = f"{folder}/" if folder else ""
    below = {path[len(prefix) :]: file for path, file in files.items() if path.startswith(prefix)}
    if not below:
        raise entry_not_found(folder)
    context = {"folder": folder, "prefix": prefix, "total": _total(files)}
    context["folders"] = sorted({name.split("/")[0] for name in below if "/" in name})
    context["files"] = sorted((name, file) for name, file in below.items() if "/" not in name)
    return _show("tree.html", 200, context | _place(request, repo, commit))


@page
def blob(request: Request) -> Response:
    """One file: Markdown rendered, other text as it is, the rest as a download."""
    hub, path = hub_of(request), param(request, "path")
    with hub.database.read() as db:
        repo = downloadable_repo(request, db)
        commit = history.resolve(db, repo, param(request, "revision"))
        file = history.manifest(db, commit).get(path)
    if file is None:
        raise entry_not_found(path)
    text, body = small_text(hub, file), None
    if text is not None and path.endswith(".md"):
        body = render(text, quote(repo.path), commit.sha, path)
    context = {"path": path, "file": file, "text": text, "body": body}
    return _show("blob.html", 200, context | _place(request, repo, commit))


@page
def commits(request: Request) -> Response:
    """The history of a revision with the branches and tags that point into it."""
    with hub_of(request).database.read() as db:
        repo = visible_repo(request, db)
        start = history.resolve(db, repo, param(request, "revision"))
        listed, refs = list(history.ancestry(db, repo, start)), history.list_refs(db, repo)
    context = {"commits": listed, "refs": refs}
    return _show("commits.html", 200, context | _place(request, repo, start))


@page
def commit(request: Request) -> Response:
    """One commit and the files that it changed."""
    with hub_of(request).database.read() as db:
        repo = visible_repo(request, db)
        shown = history.resolve(db, repo, param(request, "revision"))
        parent = history.resolve(db, repo, shown.parent) if shown.parent else None
        before = history.manifest(db, parent) if parent else {}
        after = history.manifest(db, shown)
    changes = [(path, _change(before, after, path)) for path in sorted({*before, *after})]
    context = {"changes": [(p, word, before.get(p), after.get(p)) for p, word in changes if word]}
    return _show("commit.html", 200, context | _place(request, repo, shown))


def login(request: Request) -> Response:
    """Have the browser ask for a token (as a password), then go back."""
    target = request.query_params.get("next", "/")
    try:
        if caller(request) is not None:
            # a path of this site and nothing else
            local = target.startswith("/") and not target.startswith(("//", "/\\"))
            return RedirectResponse(target if local else "/", 303)
    except HubError:
        pass
    challenge = {"WWW-Authenticate": 'Basic realm="Hub: any user name, a token as password"'}
    error = HubError(401, "Sign in with any user name and an access token as password.")
    response = _show("error.html", 401, {"error": error, "sign_in": None})
    response.headers.update(challenge)
    return response


def stylesheet(_request: Request) -> Response:
    """The style of every page."""
    return FileResponse(_TEMPLATES / "hub.css", media_type="text/css")


def _place(request: Request, repo: Repo, commit: Commit) -> dict[str, Any]:
    revision = param(request, "revision", DEFAULT_BRANCH)
    return {"repo": repo, "commit": commit, "revision": revision, "rev": quote(revision, safe="")}


def _change(before: Manifest, after: Manifest, path: str) -> str | None:
    if before.get(path) == after.get(path):
        return None
    if path not in before:
        return "added"
    return "changed" if path in after else "removed"


def _total(files: Manifest) -> int:
    return sum(file.size for file in files.values())


def _show(template: str, status: int, context: dict[str, Any]) -> Response:
    html = _ENVIRONMENT.get_template(template).render(context)
    return HTMLResponse(html, status, _HEADERS)


def _routes(prefix: str) -> list[Route]:
    repo = f"{prefix}/{{namespace}}/{{name}}"
    return [
        Route(f"{repo}/tree/{{revision}}", tree),
        Route(f"{repo}/tree/{{revision}}/{{path:path}}", tree),
        Route(f"{repo}/blob/{{revision}}/{{path:path}}", blob),
        Route(f"{repo}/commits/{{revision}}", commits),
        Route(f"{repo}/commit/{{revision}}", commit),
        Route(repo, repo_card),
    ]


routes = [
    Route("/", index),
    Route("/login", login),
    Route("/_assets/hub.css", stylesheet),
    *_routes("/{kind:kind}"),
    *_routes(""),
]
