"""Writing to the Hub's model repositories: who may, commits, tags."""

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub import CommitOperationAdd, CommitOperationCopy, CommitOperationDelete
from huggingface_hub.errors import RepositoryNotFoundError
from huggingface_hub.hf_api import RepoFile

from tasks.clients.hub_connection import Connection
from tasks.clients.hub_rights import check_rights
from tasks.clients.hub_transfer import retried
from tasks.core.errors import IntegrityError, TargetError

READERS = 5
"""Files that are read at once for their digests; as many as huggingface_hub reads itself."""


class Writer(Connection):
    """What is written to model repositories, and what is asked before."""

    @retried
    def can_write(self, repo: str) -> None:
        """Return if the token may write to `repo`, whether or not it exists yet.

        Raises:
            TargetError: no token, a token that only reads, or somebody else's namespace.
        """
        if not self._token:
            raise TargetError(
                f"writing to {repo} needs a token",
                expected="a token with the role write in HF_TOKEN",
                found="none",
                remedy=f"make one at {self.url}/settings/tokens and set HF_TOKEN",
            )
        with self._writing(f"write to {repo}", repo):
            check_rights(repo, self._api.whoami(cache=True))
            if self._api.repo_exists(repo):
                self._api.auth_check(repo, write=True)

    @retried
    def refuse_public(self, repo: str) -> None:
        """Return if strangers cannot see the repository, or it does not exist.

        Raises:
            TargetError: it is public; what nobody measured must not go there.
        """
        with self._writing(f"look at {repo}", repo):
            try:
                private = self._api.model_info(repo).private
            except RepositoryNotFoundError:
                return
        if not private:
            raise TargetError(
                f"{repo} is public, and the release's quality was not measured",
                expected="a private repository, or none yet: validation.profile is lint-only",
                found="a repository that everybody sees",
                remedy="choose another target, or a recipe with validation.profile: full",
            )

    @retried
    def create_repo(self, repo: str, *, private: bool = True) -> None:
        """Make the repository; one that exists is left as it is."""
        with self._writing(f"make {repo}", repo):
            self._api.create_repo(repo, private=private, exist_ok=True)

    @retried
    def head(self, repo: str) -> str | None:
        """Head commit of `main`, or None where the repository does not exist (or is hidden)."""
        with self._writing(f"find the head of {repo}", repo):
            try:
                return self._api.model_info(repo).sha
            except RepositoryNotFoundError:
                return None

    @retried
    def tags(self, repo: str) -> dict[str, str]:
        """Commit of each tag, by the tag's name; empty where the repository does not exist."""
        with self._writing(f"list the tags of {repo}", repo):
            try:
                refs = self._api.list_repo_refs(repo)
            except RepositoryNotFoundError:
                return {}
        return {tag.name: tag.target_commit for tag in refs.tags}

    @retried
    def commits(self, repo: str) -> list[tuple[str, str]]:
        """Commit and title of every commit of `main`, newest first; empty without repository."""
        with self._writing(f"list the commits of {repo}", repo):
            try:
                history = self._api.list_repo_commits(repo)
            except RepositoryNotFoundError:
                return []
        return [(made.commit_id, made.title) for made in history]

    def create_tag(self, repo: str, tag: str, commit: str, message: str = "") -> None:
        """Tag a commit; the same tag on the same commit is fine.

        Raises:
            TargetError: the tag stands on another commit.
        """
        there = self.tags(repo).get(tag)
        if there is None:
            with self._writing(f"tag {repo} with {tag}", repo):
                self._api.create_tag(repo, tag=tag, revision=commit, tag_message=message or None)
        elif there != commit:
            raise TargetError(
                f"{repo} has a tag {tag} on another commit",
                expected=commit,
                found=there,
                remedy="delete that tag, or look at who made it",
            )

    def commit(
        self,
        repo: str,
        files: Mapping[str, Path],
        *,
        message: str,
        sha256: Mapping[str, str] | None = None,
        description: str = "",
        parent: str | None = None,
        delete: Iterable[str] = (),
    ) -> str:
        """Upload local files, by their path in the repository, and delete others, in ONE commit.

        Args:
            repo: target.
            files: local file of each path in the repository.
            message: title of the commit.
            sha256: what files are recorded to be, by path; compared before anything is sent.
            description: its body.
            parent: the commit that must be head.
            delete: paths to remove.

        Returns:
            The new commit, or the head where nothing differs.

        Raises:
            IntegrityError: a file is not what was recorded.
            TransientError: `parent` is no longer head.
            TargetError: the Hub refused, or does not accept README.md's metadata; that is asked
                before any file is sent.
        """
        adding = [CommitOperationAdd(path, local) for path, local in files.items()]
        _as_recorded(adding, sha256 or {})
        deleting = [CommitOperationDelete(path) for path in delete]
        with self._writing(f"commit to {repo}", repo), _card_accepted(repo):
            made = self._api.create_commit(
                repo,
                [*adding, *deleting],
                commit_message=message,
                commit_description=description or None,
                parent_commit=parent,
            )
        return made.oid

    def reinstate(self, repo: str, commit: str, *, parent: str, message: str) -> str:
        """Make `main` hold exactly what an earlier commit holds, in one new commit.

        The server copies large files itself: nothing large is sent.

        Args:
            repo: repository.
            commit: the earlier commit.
            parent: the commit that must be head.
            message: title of the new commit.

        Returns:
            The new commit, or the head where nothing differs.

        Raises:
            TransientError: `parent` is no longer head.
            TargetError: the Hub refused.
        """
        then, now = self._contents(repo, commit), self._contents(repo, parent)
        copying = [
            CommitOperationCopy(path, path, src_revision=commit)
            for path, content in then.items()
            if now.get(path) != content
        ]
        deleting = [CommitOperationDelete(path) for path in now if path not in then]
        if not (copying or deleting):
            return parent
        with self._writing(f"commit to {repo}", repo):
            made = self._api.create_commit(
                repo, [*copying, *deleting], commit_message=message, parent_commit=parent
            )
        return made.oid

    @retried
    def _contents(self, repo: str, commit: str) -> dict[str, str]:
        """Git's object id of each file of a commit, by path."""
        with self._writing(f"list the files of {repo}", repo):
            tree = self._api.list_repo_tree(repo, recursive=True, revision=commit)
            return {file.path: file.blob_id for file in tree if isinstance(file, RepoFile)}


def _as_recorded(files: list[CommitOperationAdd], sha256: Mapping[str, str]) -> None:
    """What the library sends must have the digests that were recorded.

    The library would read several files at once when it wants their digests, and so do we; it
    takes those that are found here and reads the files once more only to send them.
    """
    with ThreadPoolExecutor(READERS) as pool:
        found = list(pool.map(lambda file: file.upload_info.sha256.hex(), files))
    for file, digest in zip(files, found, strict=True):
        recorded = sha256.get(file.path_in_repo, digest)
        if digest != recorded:
            raise IntegrityError(
                f"{file.path_in_repo} changed since it was recorded",
                expected=f"sha256 {recorded}",
                found=digest,
                remedy="find out what changed it; nothing was sent",
            )


@contextmanager
def _card_accepted(repo: str) -> Iterator[None]:
    """The library says by a bare ValueError that the Hub's check of README.md's YAML failed."""
    try:
        yield
    except ValueError as error:
        if "README.md" not in str(error):
            raise
        raise TargetError(
            f"the Hub does not accept the card of {repo}",
            expected="metadata as in huggingface.co/docs/hub/model-cards",
            found=" ".join(str(error).split()),
        ) from None
