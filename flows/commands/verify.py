"""`roundhouse verify`: is a release what was signed, byte for byte?"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.terminal import Json, Printed, connect, out, print_json
from tasks.core.errors import FAILED_CHECK, InputError
from tasks.core.settings import Settings

if TYPE_CHECKING:
    from tasks.sign.signer import Verifier
    from tasks.verify.found import Verification

Address = Annotated[
    str, typer.Argument(help="A folder, hub:OWNER/NAME@REVISION, or s3://BUCKET/….")
]
Key = Annotated[Path | None, typer.Option("--key", help="Public key of who signed it, PEM.")]
Unsigned = Annotated[bool, typer.Option("--unsigned", help="Compare digests alone, without a key.")]
Deep = Annotated[bool, typer.Option("--deep", help="Read archived objects, not S3's checksums.")]


def verify(
    address: Address,
    key: Key = None,
    unsigned: Unsigned = False,
    deep: Deep = False,
    json_: Json = False,
) -> None:
    """Check a release against its signature, file by file; exit 1 and names of files if it fails.

    On the Hub the weights are not downloaded: their LFS digests are compared.
    """
    from tasks.clients.hub import Hub
    from tasks.clients.s3 import Store
    from tasks.verify.verify import Verify

    connect(needed=False)
    settings = Settings()
    verifier = verifier_of(settings, key, unsigned=unsigned)
    hub, store = Hub.from_settings(settings), Store.from_settings(settings)
    found = Verify(verifier, hub, store, Printed(), deep=deep)(address)
    if json_:
        print_json(found.model_dump(mode="json") | {"good": found.good})
    else:
        _tell(found)
    raise typer.Exit(0 if found.good else FAILED_CHECK)


def verifier_of(settings: Settings, key: Path | None, *, unsigned: bool) -> "Verifier | None":
    """Who checks signatures: the key that is named, or the environment's; None if nobody shall.

    Raises:
        InputError: there is no key, or it cannot be read.
    """
    from tasks.sign.keys import read_public_key
    from tasks.sign.signer import Verifier

    if unsigned:
        return None
    verifier = Verifier(read_public_key(key)) if key else Verifier.from_settings(settings)
    if verifier is None:
        raise InputError(
            "there is no public key to verify with",
            expected="--key FILE, or ROUNDHOUSE_VERIFY_KEY",
            remedy="ask who published the release for it; "
            "`roundhouse verify --unsigned` compares digests alone",
        )
    return verifier


def _tell(found: "Verification") -> None:
    for problem in found.problems:
        out.print(str(problem), markup=False, highlight=False)
    signed = f"signed by {found.key}" if found.key else "signatures were not checked"
    verdict = "is" if found.good else "IS NOT"
    said = f"{found.where} {verdict} what was published: {found.files} files, {signed}"
    out.print(said, markup=False, highlight=False)
