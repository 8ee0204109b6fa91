"""What stands at the target before a release: its head, and the release there if we signed it."""

from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from tasks.clients.hub import Hub
from tasks.core.errors import IntegrityError
from tasks.core.published import CHANGELOG, PROVENANCE, SIGNATURE
from tasks.sign.signer import Verifier
from tasks.upload.provenance import VERDICT


@dataclass(frozen=True)
class Former:
    """The release before this one.

    Attributes:
        release_id: its name.
        inputs: what it was made of, by dotted name.
        metrics: how it fared; empty where that was not measured.
        changelog: the text of its changelog.
    """

    release_id: str
    inputs: dict[str, Any]
    metrics: dict[str, float]
    changelog: str


def find_former(repo: str, head: str | None, hub: Hub, verifier: Verifier) -> Former | None:
    """The release at the head of a repository, or None where there is none of this key.

    Text is taken over from it, so nothing is believed that the key did not sign.
    """
    if head is None:
        return None
    there = {file.path for file in hub.files(repo, head)}
    if not {SIGNATURE, PROVENANCE, CHANGELOG} <= there:
        return None
    read = {p: hub.read_small(repo, head, p) for p in (SIGNATURE, PROVENANCE, CHANGELOG)}
    try:
        signed = verifier.files(read[SIGNATURE])
        if any(signed.get(p) != sha256(read[p]).hexdigest() for p in (PROVENANCE, CHANGELOG)):
            return None
        statement = verifier.statement(read[PROVENANCE], PROVENANCE)
        return _told(statement["predicate"], read[CHANGELOG].decode())
    except (IntegrityError, KeyError, ValueError):
        return None


def _told(predicate: dict[str, Any], changelog: str) -> Former:
    build, run = predicate["buildDefinition"], predicate["runDetails"]
    verdict = next(entry for entry in run["byproducts"] if entry["name"] == VERDICT)
    return Former(
        release_id=run["metadata"]["invocationId"],
        inputs=inputs_of(build["externalParameters"], build["internalParameters"]["versions"]),
        metrics=verdict["annotations"]["metrics"] or {},
        changelog=changelog,
    )


def inputs_of(external: dict[str, Any], versions: dict[str, str]) -> dict[str, Any]:
    """Everything that may differ between two releases of a target, by dotted name."""
    recipe = dict(_flat("recipe", external["recipe"]))
    packages = {f"package {name}": version for name, version in versions.items()}
    return {"base": external["base"], "base commit": external["commit"], **recipe, **packages}


def _flat(name: str, value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, dict):
        return [pair for key, inner in value.items() for pair in _flat(f"{name}.{key}", inner)]
    return [(name, value)]
