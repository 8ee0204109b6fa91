"""What several parts of a recipe are built of: where rows come from, and kinds of values."""

from typing import Annotated, Any

from pydantic import Field

from tasks.core.manifest import Frozen

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


def unnamed_at(default: object) -> Any:
    """A field that is left out of a recipe's JSON while it has its default.

    For keys that came after the first release: they change the digest, and so the releases, of no
    recipe that does not name them.
    """
    return Field(exclude_if=lambda value: bool(value == default))


class Source(Frozen):
    """Where rows of text come from: files of a Hub dataset, or local files.

    A row is a mapping with `messages` (a chat, optionally with `tools` and `thinking`), or with a
    text under the `text` key; a row of an image source also has `image`, a path beside the file.

    Attributes:
        files: path or glob of `.jsonl` or `.parquet` files, in the repo or on this machine.
        repo: a Hub dataset (`owner/name`); empty reads local files.
        revision: commit, tag or branch of the dataset; plan resolves it to a commit.
        text: key of the text in a row.
    """

    files: Annotated[str, Field(min_length=1)]
    repo: Annotated[str, Field(pattern=r"^$|^[\w.-]+/[\w.-]+$")] = ""
    revision: str = "main"
    text: str = "text"
