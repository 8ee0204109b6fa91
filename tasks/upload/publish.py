"""One release on the Hub, once: found by its tag, else by its commit, else committed and tagged."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tasks.clients.hub import Hub
from tasks.clients.hub_files import git_blob_id
from tasks.core.errors import IntegrityError
from tasks.core.manifest import FileRecord
from tasks.core.progress import Reporter
from tasks.upload.sources import CARD, DOCUMENTS, WEIGHTS

INDEX = f"{WEIGHTS}.index.json"


@dataclass(frozen=True)
class Release:
    """What is published.

    Attributes:
        repo: repository of the release.
        tag: the release id.
        origin: base and commit, for the commit's description.
        folder: of the model's files.
        files: the model's files. They are the release: two releases of one name must agree in
            them.
        documents: local file of each document, by its path in the repository. Those of a second
            making differ in what they say of its duration; the first published stand.
    """

    repo: str
    tag: str
    origin: str
    folder: Path
    files: tuple[FileRecord, ...]
    documents: Mapping[str, Path]

    @property
    def title(self) -> str:
        """Title of the commit; names the release, so that a run that died is taken up."""
        return f"Release {self.tag}"

    @property
    def paths(self) -> dict[str, Path]:
        """Local file of everything that is published, by its path in the repository."""
        own = {file.path: self.folder / file.path for file in self.files}
        return {**own, **self.documents}


def publish(release: Release, hub: Hub, reporter: Reporter, *, private: bool = True) -> str:
    """The commit that is tagged as this release, made if there is none.

    Args:
        release: what is published.
        hub: where.
        reporter: told what was done.
        private: whether the repository, if it is made, is private.

    Raises:
        IntegrityError: the tag or the commit holds other files than this release.
        TargetError, HubUnavailable: the Hub refused or did not answer.
        TransientError: somebody committed meanwhile; the next attempt builds upon that.
    """
    tagged = hub.tags(release.repo).get(release.tag)
    if tagged is not None:
        _agree(release, tagged, hub)
        reporter.note(f"{release.repo} has the tag {release.tag} already")
        return tagged
    hub.can_write(release.repo)
    hub.create_repo(release.repo, private=private)
    commit = _untagged(release, hub) or _commit(release, hub, reporter)
    _agree(release, commit, hub)
    hub.create_tag(release.repo, release.tag, commit, release.origin)
    reporter.note(f"published {release.repo} at {release.tag}")
    return commit


def is_document(path: str) -> bool:
    """Whether a file of the repository is a document of the release."""
    return path == CARD or path.startswith(f"{DOCUMENTS}/")


def _untagged(release: Release, hub: Hub) -> str | None:
    """A commit of this release that lacks its tag, because the run that made it died."""
    made = (commit for commit, title in hub.commits(release.repo) if title == release.title)
    return next((commit for commit in made if not _differing(release, commit, hub)), None)


def _commit(release: Release, hub: Hub, reporter: Reporter) -> str:
    """Commit everything on top of the head; shards and documents of a former release go."""
    size = sum(file.size for file in release.files)
    reporter.update(0.1, f"uploading {len(release.paths)} files, {size / 1e9:.2f} GB")
    head = hub.head(release.repo)
    there = hub.files(release.repo, head) if head else []
    former = {f.path for f in there if f.path.endswith((WEIGHTS, INDEX)) or is_document(f.path)}
    return hub.commit(
        release.repo,
        release.paths,
        message=release.title,
        description=release.origin,
        parent=head,
        delete=sorted(former - set(release.paths)),
    )


def _agree(release: Release, commit: str, hub: Hub) -> None:
    if differing := _differing(release, commit, hub):
        raise IntegrityError(
            f"{release.repo} holds other files under the release {release.tag}",
            expected="the files of this release, byte for byte",
            found=f"commit {commit} differs in {', '.join(differing)}",
            remedy="find out who moved the tag or changed the files; delete the tag to publish "
            "this release anew",
        )


def _differing(release: Release, commit: str, hub: Hub) -> list[str]:
    """The model's files that the commit lacks or holds with other bytes."""
    there = {file.path: file for file in hub.files(release.repo, commit)}

    def same(file: FileRecord) -> bool:
        found = there.get(file.path)
        if found is None:
            return False
        if found.sha256:
            return found.sha256 == file.sha256
        return found.blob_id == git_blob_id(release.folder / file.path)

    return [file.path for file in release.files if not same(file)]
