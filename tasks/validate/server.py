"""A running model server, as the requests see it."""

from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
from pydantic import SecretStr

from tasks.core.errors import ServingError, ServingUnavailable
from tasks.validate.engine import Engine

TIMEOUT_SECONDS = 600.0
CLIENT_ERROR, SERVER_ERROR = 400, 500


class Server:
    """A server that listens; requests that fail become errors of our own.

    Args:
        url: its address, without a path.
        name: what it calls the model.
        key: the API key it asks for.
        log: file that takes its output.
        engine: what serves.
    """

    def __init__(self, url: str, name: str, key: SecretStr, log: Path, engine: Engine) -> None:
        self.url, self.name, self.key, self.log, self.engine = url, name, key, log, engine
        self._client = httpx.Client(
            base_url=url,
            headers={"Authorization": f"Bearer {key.get_secret_value()}"},
            timeout=TIMEOUT_SECONDS,
            trust_env=False,  # a proxy has no business between two processes of one machine
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client.close()

    def post(self, path: str, **body: object) -> Any:
        """The JSON that answers a request about the served model.

        Raises:
            ServingUnavailable: no answer, or one of 5xx.
            ServingError: the server refuses the request.
        """
        try:
            answer = self._client.post(path, json={"model": self.name, **body})
        except httpx.TransportError as error:
            raise self.gone(error) from error
        if answer.status_code >= SERVER_ERROR:
            raise self.gone(f"{answer.status_code} {answer.text:.300}")
        if answer.status_code >= CLIENT_ERROR:
            raise ServingError(
                f"vLLM refuses {path}",
                expected="an answer",
                found=f"{answer.status_code} {answer.text:.300}",
                remedy=f"read {self.log}",
            )
        return answer.json()

    def gone(self, found: object) -> ServingUnavailable:
        """The error for a server that no longer answers."""
        return ServingUnavailable(
            "vLLM went away while it was in use",
            expected="an answer",
            found=str(found) or type(found).__name__,
            remedy=f"it is tried again; if it recurs, read {self.log}",
        )
