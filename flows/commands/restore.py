"""`roundhouse restore`: a release comes back from the archive, and to the Hub if asked."""

from pathlib import Path
from typing import Annotated

import typer

from flows.commands.verify import Key, Unsigned, verifier_of
from flows.terminal import Printed, connect, out
from tasks.core.errors import IntegrityError
from tasks.core.settings import Settings


def restore(
    uri: Annotated[str, typer.Argument(help="Address of an archived release, s3://….")],
    folder: Annotated[Path, typer.Argument(help="Where to put it; must not exist.")],
    publish: Annotated[
        bool, typer.Option("--publish", help="Put it back on the Hub where it stood.")
    ] = False,
    key: Key = None,
    unsigned: Unsigned = False,
) -> None:
    """Bring a release back from the archive, every file verified."""
    from tasks.archive import restore as stage
    from tasks.clients.hub import Hub
    from tasks.clients.s3 import Store
    from tasks.upload.republish import republish
    from tasks.verify.verify import Verify

    connect(needed=False)
    settings, reporter = Settings(), Printed()
    hub, store = Hub.from_settings(settings), Store.from_settings(settings)
    verifier = verifier_of(settings, key, unsigned=unsigned)
    stage.restore(uri, folder, store, reporter)
    found = Verify(verifier, hub, store, reporter)(str(folder))
    if not found.good:
        raise IntegrityError(
            f"{folder} was restored and is not what was signed",
            found="; ".join(map(str, found.problems)),
            remedy="take the archive from another copy; nothing was published",
        )
    out.print(f"restored to {folder}", highlight=False)
    if publish:
        commit = republish(folder, hub=hub, private=settings.private, reporter=reporter)
        out.print(f"published at {commit}", highlight=False)
