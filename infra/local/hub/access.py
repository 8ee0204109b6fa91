"""Which repositories a caller may see, download and change."""

import sqlite3

from starlette.requests import Request

from . import grants, history
from .auth import User
from .endpoint import param
from .errors import gated, repo_not_found, unauthorized
from .hub import hub_of
from .records import Repo


def caller(request: Request) -> User | None:
    """The user who calls; None without a token. Raises HubError 401 for a bad token."""
    header = request.headers.get("authorization", "")
    if header[:5].lower() == "basic" and request.method not in {"GET", "HEAD"}:
        # a browser sends these credentials along with any site's forms
        raise unauthorized("Changes need a token in a Bearer header")
    return hub_of(request).tokens.caller(header)


def signed_in(request: Request) -> User:
    """The user who calls. Raises HubError 401 without a token."""
    user = caller(request)
    if user is None:
        raise unauthorized()
    return user


def may_see(user: User | None, repo: Repo) -> bool:
    """A private repository exists for the members of its namespace only."""
    return not repo.private or (user is not None and user.belongs_to(repo.namespace))


def may_download(db: sqlite3.Connection, user: User | None, repo: Repo) -> bool:
    """A gated repository's files are for its members and for those granted access."""
    if not repo.gated:
        return True
    if user is None:
        return False
    return user.belongs_to(repo.namespace) or grants.status(db, repo, user.name) == "accepted"


def visible_repo(request: Request, db: sqlite3.Connection) -> Repo:
    """The repository that the path names. Raises HubError RepoNotFound when hidden or absent."""
    user = caller(request)
    repo_id = f"{param(request, 'namespace')}/{param(request, 'name')}"
    repo = history.find_repo(db, param(request, "kind", "models"), repo_id)
    if repo is None or not may_see(user, repo):
        raise repo_not_found(anonymous=user is None)
    return repo


def downloadable_repo(request: Request, db: sqlite3.Connection) -> Repo:
    """The repository that the path names. Raises as visible_repo, and HubError GatedRepo."""
    repo, user = visible_repo(request, db), caller(request)
    if not may_download(db, user, repo):
        raise gated(repo.id, anonymous=user is None)
    return repo


def writable_repo(request: Request, db: sqlite3.Connection) -> tuple[Repo, User]:
    """The repository that the path names and its writer.

    Raises HubError as visible_repo, 401 without a token, 403 without the right to write.
    """
    repo, user = visible_repo(request, db), signed_in(request)
    user.require_write(repo.namespace)
    return repo, user
