"""One release on the Hub, once: found by its tag, else by its commit, else committed and tagged.

A release's commit holds that release and nothing else (but git's own files), so that a signature
can cover the commit, and a person or a program that trusts the signature can trust the repository.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tasks.clients.hub import Hub
from tasks.clients.hub_files import HubFile, git_blob_id
from tasks.core.errors import IntegrityError, TransientError
from tasks.core.progress import Reporter
from tasks.core.published import is_document, is_git_own

SHOWN = 5


@dataclass(frozen=True)
class Publication:
    """What is published.

    Attributes:
        repo: repository of the release.
        tag: the release id.
        origin: base and commit, for the commit's description.
        paths: local file of everything that is published, by its path in the repository. The
            model's files are the release: two releases of one name must agree in them. Documents of
            a second making differ in what they say of its duration; the first published stand.
        sha256: of each of them, as it is recorded and signed.
        confined: whether it must stay in a private repository.
    """

    repo: str
    tag: str
    origin: str
    paths: Mapping[str, Path]
    sha256: Mapping[str, str]
    confined: bool = False

    @property
    def title(self) -> str:
        """Title of the commit; names the release, so that a run that died is taken up."""
        return f"Release {self.tag}"

    @property
    def model(self) -> list[str]:
        """Paths of the model's own files."""
        return [path for path in self.paths if not is_document(path)]


def describe(base: str, commit: str) -> str:
    """What a release's commit says of its origin."""
    return f"NVFP4 of {base}, commit {commit}"


def publish(
    publication: Publication,
    hub: Hub,
    reporter: Reporter,
    *,
    private: bool = True,
    parent: str | None = None,
) -> str:
    """The commit that is tagged as this release, made if there is none.

    Args:
        publication: what is published.
        hub: where.
        reporter: told what was done.
        private: whether the repository, if it is made, is private; of a confined publication it
            always is.
        parent: head that the documents were written for; None takes whatever is there.

    Raises:
        IntegrityError: a file is not what was recorded, or the tag or the commit holds other files
            than this release.
        TargetError, HubUnavailable: the Hub refused or did not answer, or the repository is public
            and the publication is confined.
        TransientError: somebody committed meanwhile; the next attempt builds upon that.
    """
    if publication.confined:
        hub.refuse_public(publication.repo)
    tagged = hub.tags(publication.repo).get(publication.tag)
    if tagged is not None:
        _agree(publication, publication.model, tagged, hub)
        reporter.note(f"{publication.repo} has the tag {publication.tag} already")
        return tagged
    hub.can_write(publication.repo)
    hub.create_repo(publication.repo, private=private or publication.confined)
    if publication.confined:
        hub.refuse_public(publication.repo)  # whoever made it in the meantime
    commit = _untagged(publication, hub)
    if commit is None:
        commit = _commit(publication, hub, reporter, parent)
        _agree(publication, publication.paths, commit, hub)
    hub.create_tag(publication.repo, publication.tag, commit, publication.origin)
    reporter.note(f"published {publication.repo} at {publication.tag}")
    return commit


def _untagged(publication: Publication, hub: Hub) -> str | None:
    """A commit of this release that lacks its tag, because the run that made it died."""
    made = [commit for commit, title in hub.commits(publication.repo) if title == publication.title]
    return next((c for c in made if not _differing(publication, publication.model, c, hub)), None)


def _commit(publication: Publication, hub: Hub, reporter: Reporter, parent: str | None) -> str:
    """Commit everything on top of the head; what else stood there goes, and stays in history."""
    size = sum(path.stat().st_size for path in publication.paths.values())
    reporter.update(0.1, f"uploading {len(publication.paths)} files, {size / 1e9:.2f} GB")
    head = hub.head(publication.repo)
    if parent is not None and head != parent:
        raise TransientError(
            f"somebody else changed {publication.repo} in the meantime",
            expected=f"its head to be {parent}",
            found=str(head),
            remedy="it is tried again on the new state",
        )
    there = [file.path for file in hub.files(publication.repo, head)] if head else []
    gone = [path for path in there if path not in publication.paths and not is_git_own(path)]
    _tell_removal(gone, reporter)
    return hub.commit(
        publication.repo,
        publication.paths,
        sha256=publication.sha256,
        message=publication.title,
        description=publication.origin,
        parent=head,
        delete=gone,
    )


def _tell_removal(paths: list[str], reporter: Reporter) -> None:
    if foreign := [path for path in paths if not is_document(path)]:
        more = f" and {len(foreign) - SHOWN} more" if len(foreign) > SHOWN else ""
        reporter.note(f"no part of this release, removed: {', '.join(foreign[:SHOWN])}{more}")


def _agree(publication: Publication, paths: Iterable[str], commit: str, hub: Hub) -> None:
    if differing := _differing(publication, paths, commit, hub):
        raise IntegrityError(
            f"{publication.repo} holds other files under the release {publication.tag}",
            expected="the files of this release, byte for byte",
            found=f"commit {commit} differs in {', '.join(differing)}",
            remedy="find out who moved the tag or changed the files; delete the tag to publish "
            "this release anew",
        )


def _differing(publication: Publication, paths: Iterable[str], commit: str, hub: Hub) -> list[str]:
    """Those of some files that the commit lacks or holds with other bytes."""
    there = {file.path: file for file in hub.files(publication.repo, commit)}
    return [path for path in paths if not _same(publication, path, there.get(path))]


def _same(publication: Publication, path: str, found: HubFile | None) -> bool:
    if found is None:
        return False
    local = publication.paths[path]
    if found.sha256:
        return found.sha256 == publication.sha256[path]
    return found.blob_id == git_blob_id(local)
