"""A client of the stack's Prefect server, whatever server this process itself is configured for."""

from collections.abc import Mapping

from prefect.client.orchestration import SyncPrefectClient


def client_of(env: Mapping[str, str]) -> SyncPrefectClient:
    """A client; use it as a context manager.

    Args:
        env: of the stack's clients.
    """
    return SyncPrefectClient(
        api=env["PREFECT_API_URL"], auth_string=env.get("PREFECT_API_AUTH_STRING")
    )
