"""Repositories and files as the API words them."""

import json
import sqlite3
from typing import Any

from . import git, history
from .card import Card, parse_card
from .hub import Hub
from .records import Commit, File, Manifest, Repo

CARD = "README.md"
MAX_CARD_BYTES = 1 << 20
_CONFIG_FIELDS = ("architectures", "model_type", "quantization_config", "tokenizer_config")


def file_json(path: str, file: File, xet_hash: str | None = None) -> dict[str, Any]:
    """A file as the tree and paths-info endpoints list it."""
    entry: dict[str, Any] = {"type": "file", "path": path, "size": file.size, "oid": file.oid}
    if file.lfs:
        entry["lfs"] = {"oid": file.sha256, "size": file.size, "pointerSize": _pointer_size(file)}
    if xet_hash:
        entry["xetHash"] = xet_hash
    return entry


def folder_json(path: str, tree_id: str) -> dict[str, Any]:
    """A folder as the tree and paths-info endpoints list it."""
    return {"type": "directory", "path": path, "size": 0, "oid": tree_id}


def last_commit_json(commit: Commit) -> dict[str, str]:
    """The commit that last changed an entry."""
    return {"id": commit.sha, "title": commit.title, "date": commit.date}


def card_of(hub: Hub, files: Manifest) -> Card:
    """The parsed README of a revision; an empty card when it has none."""
    text = small_text(hub, files.get(CARD))
    return parse_card(text) if text is not None else Card({}, "")


def small_text(hub: Hub, file: File | None) -> str | None:
    """A file's content as text; None when it is absent, large or no UTF-8."""
    if file is None or file.size > MAX_CARD_BYTES:
        return None
    try:
        return hub.blobs.path(file.sha256).read_text("utf-8")
    except UnicodeDecodeError:
        return None


def repo_json(
    hub: Hub, db: sqlite3.Connection, repo: Repo, commit: Commit, *, blobs: bool = False
) -> dict[str, Any]:
    """A repository at a revision, as the info and list endpoints describe it."""
    files = history.manifest(db, commit)
    card = card_of(hub, files)
    described = {
        "_id": git.object_id("blob", f"{repo.kind}/{repo.key}".encode())[:24],
        "id": repo.id,
        "author": repo.namespace,
        "sha": commit.sha,
        "private": repo.private,
        "gated": repo.gated or False,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "createdAt": repo.created_at,
        "lastModified": repo.modified_at,
        "tags": card.tags,
        "cardData": card.metadata,
        "siblings": [_sibling(path, file, blobs=blobs) for path, file in sorted(files.items())],
        "usedStorage": sum(file.size for file in files.values()),
    }
    if repo.kind == "models":
        described["modelId"] = repo.id
        described["config"] = _config(hub, files)
        described["library_name"] = card.metadata.get("library_name")
        described["pipeline_tag"] = card.metadata.get("pipeline_tag")
    return described


def _sibling(path: str, file: File, *, blobs: bool) -> dict[str, Any]:
    sibling: dict[str, Any] = {"rfilename": path}
    if blobs:
        sibling |= {"size": file.size, "blobId": file.oid}
        if file.lfs:
            size = _pointer_size(file)
            sibling["lfs"] = {"sha256": file.sha256, "size": file.size, "pointerSize": size}
    return sibling


def _pointer_size(file: File) -> int:
    return len(git.pointer(file.sha256, file.size))


def _config(hub: Hub, files: Manifest) -> dict[str, Any] | None:
    text = small_text(hub, files.get("config.json"))
    try:
        config = json.loads(text) if text is not None else None
    except (ValueError, RecursionError):
        return None
    if not isinstance(config, dict):
        return None
    return {name: config[name] for name in _CONFIG_FIELDS if name in config}
