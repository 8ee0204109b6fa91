"""The Hub: everything Roundhouse reads from it and writes to it, in Roundhouse's own errors.

Reads are pinned to a commit; a write is one commit. Errors are translated in `hub_errors`, bytes
come through `hub_transfer`.
"""

from tasks.clients.hub_reads import Reader
from tasks.clients.hub_writes import Writer


class Hub(Reader, Writer):
    """One Hub, seen with one token (or none).

    Every method raises `HubUnavailable` when the Hub does not answer, after a few attempts, and a
    permanent error when it says no: `BaseModelError` for a model that is read, `RecipeError` for a
    dataset that is read, `TargetError` for a repository that is written.

    Args:
        endpoint: address of the Hub; empty for the public one.
        token: access token; empty for none (a token saved on the machine is never picked up).
    """
