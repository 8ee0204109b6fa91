"""The folder that a rebuild works in: its own, so that nothing of the release is at hand."""

from pathlib import Path

from tasks.core.digest import indented_json, sha256_json
from tasks.core.errors import InputError
from tasks.rebuild.claim import Claim

MARK = "rebuild.json"


def take(folder: Path, claim: Claim) -> None:
    """Mark a folder as a rebuild's of this release, made if it is missing.

    Stages that a workspace finished are handed out and not made again. A rebuild in the home that
    made the release would compare the release with itself, so only a rebuild's own folder is taken.

    Raises:
        InputError: it holds something else.
    """
    wanted = indented_json({"release": claim.release, "claim": sha256_json(claim.model_dump())})
    mark = folder / MARK
    if mark.is_file() and mark.read_text() == wanted:
        return
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise InputError(
            f"{folder} holds something else than a rebuild of {claim.release}",
            expected="an empty or a new folder, or one that a rebuild of this release was begun in",
            remedy="name another folder with --into",
        )
    folder.mkdir(parents=True, exist_ok=True)
    mark.write_text(wanted)
