"""Describe and list repositories."""

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from . import history
from .access import caller, may_see, visible_repo
from .describe import repo_json
from .endpoint import flag, paged, param
from .errors import bad_request
from .history import DEFAULT_BRANCH
from .hub import hub_of

_ALWAYS = ("_id", "id", "modelId")
# what a list leaves out unless ``full`` is asked for
_FULL_ONLY = ("siblings", "cardData", "config", "usedStorage", "author", "sha", "lastModified")
_SORTS = ("lastModified", "createdAt", "downloads", "likes", "trendingScore")


def info(request: Request) -> Response:
    """A repository at a revision, ``main`` when none is named."""
    hub = hub_of(request)
    with hub.database.read() as db:
        repo = visible_repo(request, db)
        commit = history.resolve(db, repo, param(request, "revision", DEFAULT_BRANCH))
        described = repo_json(hub, db, repo, commit, blobs=flag(request, "blobs"))
    return JSONResponse(_expanded(request, described))


def listing(request: Request) -> Response:
    """Repositories of a kind that the caller may see, filtered, sorted and paged."""
    hub, user = hub_of(request), caller(request)
    found = []
    with hub.database.read() as db:
        for repo in history.list_repos(db, param(request, "kind")):
            if may_see(user, repo):
                head = history.resolve(db, repo, DEFAULT_BRANCH)
                described = repo_json(hub, db, repo, head)
                if _matches(request, described):
                    found.append(described)
    _sort(request, found)
    return paged(request, [_listed(request, described) for described in found])


def _matches(request: Request, described: dict[str, Any]) -> bool:
    query = request.query_params
    wanted = query.getlist("filter") + query.getlist("pipeline_tag")
    return (
        query.get("author", described["author"]) == described["author"]
        and query.get("search", "").lower() in described["id"].lower()
        and set(wanted) <= set(described["tags"])
        and ("gated" not in query or flag(request, "gated") == bool(described["gated"]))
    )


def _sort(request: Request, found: list[dict[str, Any]]) -> None:
    key = request.query_params.get("sort")
    if key is None:
        return
    if key not in _SORTS:
        raise bad_request(f"sort must be one of {', '.join(_SORTS)}, found {key!r}.")
    descending = request.query_params.get("direction", "-1") == "-1"
    found.sort(key=lambda described: described.get(key, 0), reverse=descending)


def _listed(request: Request, described: dict[str, Any]) -> dict[str, Any]:
    if "expand" in request.query_params or "expand[]" in request.query_params:
        return _expanded(request, described)
    if flag(request, "full"):
        return described
    kept = [name for name in ("cardData", "config") if flag(request, name)]
    return {k: v for k, v in described.items() if k not in _FULL_ONLY or k in kept}


def _expanded(request: Request, described: dict[str, Any]) -> dict[str, Any]:
    query = request.query_params
    names = query.getlist("expand") + query.getlist("expand[]")
    if not names:
        return described
    return {k: v for k, v in described.items() if k in _ALWAYS or k in names}


routes = [
    Route("/api/{kind:kind}", listing),
    Route("/api/{kind:kind}/{namespace}/{name}", info),
    Route("/api/{kind:kind}/{namespace}/{name}/revision/{revision}", info),
]
