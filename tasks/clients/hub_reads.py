"""Reading from the Hub: commits, listings, small files, headers, whole files."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from itertools import takewhile
from pathlib import Path

from huggingface_hub.hf_api import RepoFile

from tasks.clients.hub_connection import DENIED, Connection, RepoType
from tasks.clients.hub_files import HubFile
from tasks.clients.hub_headers import RemoteCheckpoint, read_checkpoint, weight_shards
from tasks.clients.hub_transfer import download, first_bytes, retried, whole
from tasks.core.checkpoint import INDEX


@dataclass(frozen=True)
class Listed:
    """A model in a list: its repository, the head commit of `main`, when it was made."""

    repo: str
    commit: str
    created: datetime


class Reader(Connection):
    """What is read from models and datasets, pinned to a commit."""

    @retried
    def resolve(self, repo: str, revision: str = "main", repo_type: RepoType = "model") -> str:
        """The commit (40 hex digits) that a branch, tag or commit names now."""
        with self._reading(f"find revision {revision} of {repo}", repo, repo_type):
            found = self._api.repo_info(repo, revision=revision, repo_type=repo_type)
        if not found.sha:
            raise DENIED[repo_type](f"{repo} has no commit yet", remedy="upload files to it")
        return found.sha

    @retried
    def models_since(self, author: str, since: datetime) -> list[Listed]:
        """The models that an author made since then, newest first; in one request for most."""
        with self._reading(f"list the models of {author}", author, "model"):
            listed = self._api.list_models(
                author=author, sort="created_at", expand=["sha", "createdAt"]
            )
            new = takewhile(lambda model: model.created_at and model.created_at >= since, listed)
            return [Listed(m.id, m.sha, m.created_at) for m in new if m.sha and m.created_at]

    @retried
    def license(self, repo: str, commit: str) -> str:
        """The licence a model's card names; empty where it names none."""
        with self._reading(f"read the card of {repo}", repo, "model"):
            card = self._api.model_info(repo, revision=commit).card_data
        named = card.get("license_name") or card.get("license") if card else ""
        return str(named or "")

    @retried
    def files(self, repo: str, commit: str, repo_type: RepoType = "model") -> list[HubFile]:
        """Every file of a commit, sorted by path."""
        with self._reading(f"list the files of {repo}", repo, repo_type):
            tree = self._api.list_repo_tree(
                repo, recursive=True, revision=commit, repo_type=repo_type
            )
            found = [
                HubFile(f.path, f.size, f.lfs.sha256 if f.lfs else "", f.blob_id)
                for f in tree
                if isinstance(f, RepoFile)
            ]
        return sorted(found, key=lambda file: file.path)

    @retried
    def read_small(self, repo: str, commit: str, path: str, repo_type: RepoType = "model") -> bytes:
        """A small file's bytes (at most 64 MiB), straight into memory."""
        with self._reading(f"read {path} of {repo}", repo, repo_type):
            return whole(self._address(repo, commit, path, repo_type), self._headers)

    def weight_shards(self, repo: str, commit: str, files: list[HubFile]) -> list[HubFile]:
        """Those of a commit's files that hold the model's weights.

        Raises:
            BaseModelError: there are none in safetensors.
            IntegrityError: the index is broken or names a shard that is not there.
        """
        return weight_shards(repo, files, lambda: self.read_small(repo, commit, INDEX))

    def safetensors_tensors(self, repo: str, commit: str) -> RemoteCheckpoint:
        """Dtype, shape and shard of every tensor, from the shards' headers alone.

        Raises:
            BaseModelError: the repository has no safetensors weights.
            IntegrityError: a header is broken or does not cover its file.
        """

        @retried
        def read(path: str, count: int, start: int) -> bytes:
            with self._reading(f"read the header of {path} of {repo}", repo, "model"):
                url = self._address(repo, commit, path, "model")
                return first_bytes(url, self._headers, count, start)

        shards = self.weight_shards(repo, commit, self.files(repo, commit))
        return read_checkpoint(repo, shards, read)

    @retried
    def fetch(
        self,
        repo: str,
        commit: str,
        file: HubFile,
        folder: Path,
        *,
        repo_type: RepoType = "model",
        on_bytes: Callable[[int], None] = lambda _: None,
    ) -> Path:
        """Download one file into `folder`, going on where a broken attempt stopped; verified.

        Args:
            repo: repository.
            commit: its commit.
            file: one of `files(...)`.
            folder: takes the file under its path in the repository.
            repo_type: model or dataset.
            on_bytes: called with each number of bytes that are there, also those of an earlier
                attempt; negative where bytes had to be thrown away.

        Raises:
            IntegrityError: what arrived is not the file; it is deleted.
        """
        target = folder / file.path
        with self._reading(f"download {file.path} of {repo}", repo, repo_type):
            url = self._address(repo, commit, file.path, repo_type)
            download(url, self._headers, file, target, on_bytes)
        return target
