"""Object ids as git computes them (SHA-1 of type, size and content)."""

import hashlib
from datetime import datetime

from .records import File, Manifest

_Entries = dict[str, tuple[bytes, str]]  # name -> (git mode, object id)


def object_id(kind: str, content: bytes) -> str:
    """Id of a git object of ``kind`` (blob, tree, commit), 40 hex digits."""
    header = f"{kind} {len(content)}\0".encode()
    return hashlib.sha1(header + content, usedforsecurity=False).hexdigest()


def pointer(sha256: str, size: int) -> bytes:
    """The LFS pointer file that git holds in place of the content (git-lfs spec v1)."""
    text = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n"
    return text.encode()


def lfs_file(sha256: str, size: int) -> File:
    """The record of an LFS file; its git id is the pointer's."""
    return File(size, object_id("blob", pointer(sha256, size)), sha256, lfs=True)


def regular_file(content: bytes) -> File:
    """The record of a file that git holds itself."""
    digest = hashlib.sha256(content).hexdigest()
    return File(len(content), object_id("blob", content), digest, lfs=False)


def tree_ids(manifest: Manifest) -> dict[str, str]:
    """Git tree id of every folder in ``manifest``; the root's path is the empty string."""
    children: dict[str, _Entries] = {"": {}}
    for path, file in manifest.items():
        folder, _, name = path.rpartition("/")
        _make_folder(children, folder)[name] = (b"100644", file.oid)
    ids: dict[str, str] = {}
    # a folder's id needs its subfolders' ids: deepest first, the root last
    for folder in sorted(children, key=_depth, reverse=True):
        ids[folder] = _tree_id(children[folder])
        if folder:
            parent, _, name = folder.rpartition("/")
            children[parent][name] = (b"40000", ids[folder])
    return ids


def commit_id(
    tree: str, parent: str | None, author: str, date: datetime, title: str, message: str
) -> str:
    """Git commit id of these facts, as if ``author`` had committed at ``date``."""
    who = f"{author} <{author}@users.noreply.localhost> {int(date.timestamp())} +0000"
    lines = [f"tree {tree}", *([f"parent {parent}"] if parent else [])]
    lines += [f"author {who}", f"committer {who}", "", title]
    text = "\n".join(lines) + (f"\n\n{message}" if message else "") + "\n"
    return object_id("commit", text.encode())


def _make_folder(children: dict[str, _Entries], folder: str) -> _Entries:
    missing = folder
    while missing not in children:
        children[missing] = {}
        missing = missing.rpartition("/")[0]
    return children[folder]


def _depth(folder: str) -> int:
    return folder.count("/") + 1 if folder else 0


def _tree_id(entries: _Entries) -> str:
    # git orders entries by name, a folder as if its name ended in a slash
    def order(item: tuple[str, tuple[bytes, str]]) -> bytes:
        name, (mode, _) = item
        return name.encode() + (b"/" if mode == b"40000" else b"")

    rows = (
        mode + b" " + name.encode() + b"\0" + bytes.fromhex(oid)
        for name, (mode, oid) in sorted(entries.items(), key=order)
    )
    return object_id("tree", b"".join(rows))
