"""Old workspaces in S3 are removed, and the objects that no record names any longer.

A workspace is as old as the latest object below it: a machine that uses one sets its mark anew, and
one that makes a stage renews its lease. Records go first, so that nobody finds a stage whose files
are going; a machine that comes in between finds files missing, and makes the stage again.
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from tasks.clients.shared_objects import OBJECTS, object_path
from tasks.clients.shared_store import Entry, SharedStore
from tasks.clients.shared_workspace import LOGS, RECORD, SCRATCH
from tasks.core.workspace import BASES, RELEASES
from tasks.core.workspace_prune import Pruned
from tasks.core.workspace_shared import KEY_DIGITS

PARTS = {RELEASES: 2, BASES: 3}
"""How many parts of a path name a workspace."""
BESIDE = re.compile(rf"/[0-9a-f]{{{KEY_DIGITS}}}({re.escape(SCRATCH)}|{re.escape(LOGS)})/")
"""In paths of files that are beside a stage, and are no records whatever their names."""


def prune_shared(
    store: SharedStore,
    uri: str,
    older_than: float,
    *,
    dry_run: bool = False,
) -> list[Pruned]:
    """Remove the workspaces that were not used for some time, then what only they held.

    Objects that are younger stay whether a record names them or not: their record may be about to
    be written. The parts of uploads whose writer died go by the same age.

    Args:
        store: where it is.
        uri: address of the shared workspace.
        older_than: seconds since their last use.
        dry_run: only tell what would be removed.
    """
    uri = uri.rstrip("/")
    places = _places(store.entries(uri))
    old = {p: e for p, e in places.items() if p != OBJECTS and _youngest(e) > older_than}
    kept = [e for p, entries in places.items() if p not in old and p != OBJECTS for e in entries]
    named = _named(store, uri, kept)
    loose = [e for e in places[OBJECTS] if e.age > older_than and e.path not in named]
    if not dry_run:
        for entries in old.values():
            records_first = sorted(entries, key=lambda entry: not _is_record(entry))
            store.delete_below(uri, [entry.path for entry in records_first])
        store.delete_below(uri, [entry.path for entry in loose])
        for upload in store.uploads(uri):
            if upload.age > older_than:
                store.call_off(upload)
    told = [_pruned(f"{uri}/{place}", entries) for place, entries in sorted(old.items())]
    return told + ([_pruned(f"{uri}/{OBJECTS}", loose)] if loose else [])


def _places(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    """Objects by workspace; those of files under `objects`."""
    found: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        parts = entry.path.split("/")
        found["/".join(parts[: PARTS.get(parts[0], 1)])].append(entry)
    return found


def _youngest(entries: list[Entry]) -> float:
    return min(entry.age for entry in entries)


def _is_record(entry: Entry) -> bool:
    return entry.path.endswith(RECORD) and not BESIDE.search(entry.path)


def _named(store: SharedStore, uri: str, entries: list[Entry]) -> set[str]:
    """Paths of the objects that records name."""
    named: set[str] = set()
    for entry in entries:
        if _is_record(entry):
            named |= {object_path(sha256) for sha256 in _digests(store, f"{uri}/{entry.path}")}
    return named


def _digests(store: SharedStore, uri: str) -> list[str]:
    """Digests of the files that a record names; a damaged one names none."""
    try:
        record: dict[str, Any] = json.loads(store.look(uri).data)
        return [file["sha256"] for file in record["files"]]
    except (ValueError, KeyError, TypeError):
        return []


def _pruned(where: str, entries: list[Entry]) -> Pruned:
    return Pruned(where=where, bytes=sum(e.size for e in entries), days=_youngest(entries) / 86400)
