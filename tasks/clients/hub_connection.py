"""A Hub and a token, and the errors that come of asking it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, Self

from huggingface_hub import HfApi, hf_hub_url
from huggingface_hub.utils.tqdm import disable_progress_bars
from pydantic import SecretStr

from tasks.clients.hub_errors import Asked, translated
from tasks.core.errors import BaseModelError, PermanentError, RecipeError, TargetError
from tasks.core.settings import Settings

RepoType = Literal["model", "dataset"]
NO_TOKEN = SecretStr("")
DENIED: dict[str, type[PermanentError]] = {"model": BaseModelError, "dataset": RecipeError}

disable_progress_bars()


class Connection:
    """One Hub, seen with one token (or none).

    Args:
        endpoint: address of the Hub; empty for the public one.
        token: access token; empty for none (a token saved on the machine is never picked up).

    Attributes:
        url: address of the Hub.
    """

    def __init__(self, endpoint: str = "", token: SecretStr = NO_TOKEN) -> None:
        self._secret = token
        self._api = HfApi(endpoint=endpoint.rstrip("/") or None, token=self._token)
        self.url = self._api.endpoint

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """The Hub that the environment names."""
        return cls(settings.hub_endpoint, settings.hub_token)

    @property
    def _token(self) -> str | bool:
        return self._secret.get_secret_value() or False

    @property
    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token}"} if self._token else {}

    def page(self, repo: str, repo_type: RepoType = "model") -> str:
        """Address of a repository's page."""
        return f"{self.url}/{'datasets/' if repo_type == 'dataset' else ''}{repo}"

    @contextmanager
    def _reading(self, what: str, repo: str, repo_type: RepoType) -> Iterator[None]:
        asked = Asked(what, repo, DENIED[repo_type], bool(self._token), self.page(repo, repo_type))
        with translated(asked):
            yield

    @contextmanager
    def _writing(self, what: str, repo: str) -> Iterator[None]:
        with translated(Asked(what, repo, TargetError, bool(self._token), self.page(repo))):
            yield

    def _address(self, repo: str, commit: str, path: str, repo_type: RepoType) -> str:
        return hf_hub_url(repo, path, repo_type=repo_type, revision=commit, endpoint=self.url)
