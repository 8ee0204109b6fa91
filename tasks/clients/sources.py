"""Data sources: rows of text, chats and images, from the Hub or from this machine, pinned.

A source on the Hub is pinned to a commit; one on this machine to the sha256 of its files and of
the images they name. So equal digests mean equal rows.
"""

import glob
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from tasks.clients.hub import Hub
from tasks.clients.hub_files import HubFile
from tasks.clients.rows import FORMATS, Row, read_rows
from tasks.core.digest import sha256_file, sha256_json
from tasks.core.errors import IntegrityError, RecipeError
from tasks.core.recipe_source import Source

__all__ = ["ResolvedSource", "Row", "load_rows", "resolve_source"]

COMMIT = "commit:"
PICTURES = (".png", ".jpg", ".jpeg", ".webp")


@dataclass(frozen=True)
class ResolvedSource:
    """A source pinned to what it holds now.

    Attributes:
        digest: `commit:<sha>:<digest of the files>` on the Hub, a sha256 on this machine.
        files: matching files, sorted.
        size: bytes of these files, and of the pictures that may belong to them.
    """

    digest: str
    files: tuple[str, ...]
    size: int


def resolve_source(source: Source, hub: Hub) -> ResolvedSource:
    """Pin a source to what it holds now; from the Hub nothing is downloaded.

    Raises:
        RecipeError: no file matches, or the repository is missing or closed; for files on this
            machine also what `load_rows` says of their rows.
    """
    if source.repo:
        return _Remote(source, hub, hub.resolve(source.repo, source.revision, "dataset")).resolved()
    return _Local(source).resolved()


def load_rows(source: Source, hub: Hub, cache_dir: Path, digest: str) -> list[Row]:
    """All rows of a source, in the order of its files' names.

    A row has `text` (a string) or `messages` (a chat; with it maybe `tools` and `thinking`). Where
    it names an `image`, that is the `Path` of a file on this machine.

    Args:
        source: as the recipe has it.
        hub: where its repository is.
        cache_dir: folder for files of the Hub, kept by commit; use `<home>/data`.
        digest: of the source, as `resolve_source` gave it.

    Raises:
        IntegrityError: the source no longer holds what the digest says.
        RecipeError: a line that is not JSON, a row without its keys, an image that is missing.
    """
    if source.repo:
        commit = digest.removeprefix(COMMIT).partition(":")[0]
        remote = _Remote(source, hub, commit)
        _unchanged(remote.resolved(), digest, source)
        return remote.rows(cache_dir)
    local = _Local(source)
    _unchanged(local.resolved(), digest, source)
    return local.rows()


def _unchanged(found: ResolvedSource, digest: str, source: Source) -> None:
    if found.digest != digest:
        raise IntegrityError(
            f"the data of {source.repo or source.files} changed since the plan was made",
            expected=digest,
            found=found.digest,
            remedy="plan again",
        )


def _rows(files: list[Path], source: Source, image: Callable[[Path], Path]) -> list[Row]:
    """Rows of all files, each image's name replaced by what `image` makes of its path."""
    rows = []
    for path in files:
        for row in read_rows(path, source.text):
            if isinstance(row.get("image"), str):
                row["image"] = image(path.parent / row["image"])
            rows.append(row)
    return rows


def _none_matches(source: Source, present: list[str]) -> RecipeError:
    return RecipeError(
        f"no data file matches {source.files}",
        expected=f"{' or '.join(FORMATS)} files in {source.repo or 'this machine'}",
        found=", ".join(present[:8]) or "no such file",
        remedy="mend files: in the recipe's source",
    )


class _Local:
    """Files of this machine."""

    def __init__(self, source: Source) -> None:
        self._source = source
        found = sorted(Path(name) for name in glob.glob(source.files, recursive=True))  # noqa: PTH207
        self._files = [path for path in found if path.suffix in FORMATS and path.is_file()]
        if not self._files:
            raise _none_matches(source, [str(path) for path in found])

    def rows(self) -> list[Row]:
        return _rows(self._files, self._source, _existing)

    def resolved(self) -> ResolvedSource:
        named = {row["image"] for row in self.rows() if isinstance(row.get("image"), Path)}
        everything = [*self._files, *sorted(named)]
        return ResolvedSource(
            sha256_json([(path.name, sha256_file(path)) for path in everything]),
            tuple(str(path) for path in self._files),
            sum(path.stat().st_size for path in everything),
        )


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise RecipeError(f"the image {path} that a row names is missing")
    return path


class _Remote:
    """Files of a Hub dataset at one commit."""

    def __init__(self, source: Source, hub: Hub, commit: str) -> None:
        self._source, self._hub, self._commit = source, hub, commit
        self._listing = {f.path: f for f in hub.files(source.repo, commit, "dataset")}
        self._matching = [
            file
            for path, file in self._listing.items()
            if path.endswith(FORMATS) and fnmatchcase(path, source.files)
        ]
        if not self._matching:
            raise _none_matches(source, list(self._listing))

    def resolved(self) -> ResolvedSource:
        content = sha256_json([(file.path, file.content_id) for file in self._matching])
        pictures = [f for path, f in self._listing.items() if path.endswith(PICTURES)]
        return ResolvedSource(
            f"{COMMIT}{self._commit}:{content}",
            tuple(file.path for file in self._matching),
            sum(file.size for file in [*self._matching, *pictures]),
        )

    def rows(self, cache_dir: Path) -> list[Row]:
        folder = cache_dir / self._source.repo.replace("/", "--") / self._commit
        return _rows(
            [self._fetch(file, folder) for file in self._matching],
            self._source,
            lambda path: self._fetch(self._listed(path.relative_to(folder).as_posix()), folder),
        )

    def _listed(self, path: str) -> HubFile:
        if path not in self._listing:
            raise RecipeError(f"{self._source.repo} lacks the image {path} that a row names")
        return self._listing[path]

    def _fetch(self, file: HubFile, folder: Path) -> Path:
        return self._hub.fetch(self._source.repo, self._commit, file, folder, repo_type="dataset")
