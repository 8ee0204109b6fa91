"""`roundhouse rollback`: an earlier release becomes the head of its repository again."""

from typing import Annotated

import typer

from flows.commands.verify import Key, Unsigned, verifier_of
from flows.terminal import Json, Printed, connect, out, print_json
from tasks.core.errors import IntegrityError
from tasks.core.settings import Settings


def rollback(
    repo: Annotated[str, typer.Argument(help="Repository on the Hub, OWNER/NAME.")],
    to: Annotated[str, typer.Option("--to", help="Tag of the release to go back to.")],
    key: Key = None,
    unsigned: Unsigned = False,
    json_: Json = False,
) -> None:
    """Make the head of a repository equal to an earlier release, in one new commit.

    The release is verified first; exit 1 if it is not what was signed. Roll forward the same way.
    """
    from tasks.clients.hub import Hub
    from tasks.clients.s3 import Store
    from tasks.upload.rollback import roll_back
    from tasks.verify.verify import Verify

    connect(needed=False)
    settings = Settings()
    hub, reporter = Hub.from_settings(settings), Printed()
    verifier = verifier_of(settings, key, unsigned=unsigned)
    if to in hub.tags(repo):
        found = Verify(verifier, hub, Store.from_settings(settings), reporter)(f"hub:{repo}@{to}")
        if not found.good:
            raise IntegrityError(
                f"the release {to} of {repo} is not what was signed",
                found="; ".join(map(str, found.problems)),
                remedy="choose another release; nothing was changed",
            )
    commit = roll_back(repo, to, hub=hub, reporter=reporter)
    if json_:
        print_json({"repo": repo, "release": to, "commit": commit})
    else:
        out.print(f"{repo} at {commit}", highlight=False)
