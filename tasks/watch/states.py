"""The states of all targets: one small object each in S3, changed conditionally."""

from pydantic import ValidationError

from tasks.clients.s3_state import StateStore
from tasks.core.archived import MANIFEST
from tasks.core.errors import IntegrityError
from tasks.core.settings import Settings
from tasks.watch.orders import Known, State

FOLDER = ".watch"


class States:
    """The states of all targets below one address.

    Args:
        store: where they lie.
        prefix: their address.
    """

    def __init__(self, store: StateStore, prefix: str) -> None:
        self._store, self._prefix = store, prefix.rstrip("/")

    @classmethod
    def from_settings(cls, settings: Settings) -> "States":
        """The states that the environment names: beside the releases that are archived."""
        prefix = f"{settings.archive.rstrip('/')}/{FOLDER}"
        return cls(StateStore.from_settings(settings), prefix)

    def read(self, base: str, target: str) -> Known:
        """What is known of a target; nothing if it was another base's.

        Raises:
            IntegrityError: the object is no state.
            StoreError, StoreUnavailable: S3 refused or did not answer.
        """
        known = self.of_target(target)
        if known.state.base == base:
            return known
        return known.model_copy(update={"state": State(base=base)})

    def of_target(self, target: str) -> Known:
        """What is known of a target, whichever base it was known of; raises as `read`."""
        uri = self._uri(target)
        kept = self._store.look(uri)
        if not kept.etag:
            return Known(target=target, state=State(base=""))
        try:
            state = State.model_validate_json(kept.data)
        except ValidationError as error:
            raise IntegrityError(
                f"{uri} is no state of a watcher",
                found=f"{error.error_count()} wrong values",
                remedy="delete the object: the base is then looked at as a new one",
            ) from None
        return Known(target=target, state=state, etag=kept.etag)

    def write(self, known: Known, state: State) -> Known | None:
        """Replace what was read; None where another watcher was first.

        Raises:
            StoreError, StoreUnavailable: S3 refused or did not answer.
        """
        data = (state.model_dump_json(indent=2) + "\n").encode()
        now = self._store.change(self._uri(known.target), data, known.etag)
        return Known(target=known.target, state=state, etag=now.etag) if now else None

    def archived(self, uri: str) -> bool:
        """Whether a release is archived at an address, whole."""
        return bool(uri) and self._store.head(f"{uri.rstrip('/')}/{MANIFEST}") is not None

    def _uri(self, target: str) -> str:
        return f"{self._prefix}/{target}.json"
