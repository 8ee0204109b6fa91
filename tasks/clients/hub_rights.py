"""Whether a token may write to a repository, told from what the Hub says of the token.

The Hub's `whoami-v2` names the token's role (`read`, `write` or `fineGrained`), the user and the
user's organisations with the user's role in each.
"""

from typing import Any

from tasks.core.errors import TargetError

READ_ONLY_MEMBERS = {"read", "contributor"}


def check_rights(repo: str, me: dict[str, Any]) -> None:
    """Return if `me`, the answer of `whoami-v2`, may make and write `repo`.

    Raises:
        TargetError: the token only reads, or the namespace is somebody else's.
    """
    namespace = repo.partition("/")[0]
    token = me.get("auth", {}).get("accessToken", {})
    role = token.get("role", "write")
    if role == "read":
        raise TargetError(
            f"the token may not write to {repo}",
            expected="a token with the role write",
            found=f"a token of {me.get('name')} with the role read",
            remedy="make a token with the role write in the Hub's settings and set HF_TOKEN",
        )
    allowed = _scoped(token) if role == "fineGrained" else _namespaces(me)
    if namespace not in allowed and repo not in allowed:
        raise TargetError(
            f"the token may not write to the namespace {namespace}",
            expected=f"a repository below {', '.join(sorted(allowed)) or 'no namespace at all'}",
            found=repo,
            remedy="choose another target, or a token of a member of that organisation",
        )


def _namespaces(me: dict[str, Any]) -> set[str]:
    orgs = {
        org["name"]
        for org in me.get("orgs", [])
        if org.get("roleInOrg", "write") not in READ_ONLY_MEMBERS
    }
    return orgs | {me["name"]}


def _scoped(token: dict[str, Any]) -> set[str]:
    """Names (of users, organisations or repositories) where a fine-grained token writes."""
    scopes = token.get("fineGrained", {}).get("scoped", [])
    return {
        scope["entity"]["name"]
        for scope in scopes
        if "repo.write" in scope.get("permissions", []) and "name" in scope.get("entity", {})
    }
