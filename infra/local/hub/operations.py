"""The lines of a commit request, and what they do to a revision's files."""

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import AfterValidator, Base64Bytes, BaseModel, Field, TypeAdapter

from . import git
from .errors import bad_request, entry_not_found
from .records import File, Manifest

SHA256 = r"^[0-9a-f]{64}$"


def check_path(path: str) -> str:
    """A path as git allows it: relative, no empty, dot or ``.git`` parts, no control characters.

    Raises:
        ValueError: It is something else.
    """
    parts = path.split("/")
    if any(part in {"", ".", ".."} or part.lower() == ".git" for part in parts):
        raise ValueError(f"invalid path in repo: {path!r}")
    if not path.isprintable() or "\\" in path:
        raise ValueError(f"invalid character in path in repo: {path!r}")
    return path


PathInRepo = Annotated[str, AfterValidator(check_path)]


class Header(BaseModel):
    """Title, message and, optionally, the head that the client has seen."""

    summary: str = Field(min_length=1)
    description: str = ""
    parentCommit: str | None = Field(default=None, pattern=r"^[0-9a-f]{5,40}$")  # noqa: N815


class RegularFile(BaseModel):
    """A file sent within the request."""

    path: PathInRepo
    content: Base64Bytes
    encoding: Literal["base64"] = "base64"


class LfsFile(BaseModel):
    """A file whose content was uploaded before."""

    path: PathInRepo
    oid: str = Field(pattern=SHA256)
    algo: Literal["sha256"] = "sha256"
    size: int | None = Field(default=None, ge=0)


class Deleted(BaseModel):
    """A path to remove."""

    path: str


class HeaderLine(BaseModel):
    """``header``."""

    key: Literal["header"]
    value: Header


class FileLine(BaseModel):
    """``file``."""

    key: Literal["file"]
    value: RegularFile


class LfsLine(BaseModel):
    """``lfsFile``."""

    key: Literal["lfsFile"]
    value: LfsFile


class DeleteLine(BaseModel):
    """``deletedFile`` or ``deletedFolder``."""

    key: Literal["deletedFile", "deletedFolder"]
    value: Deleted


Line = HeaderLine | FileLine | LfsLine | DeleteLine
LINE: TypeAdapter[Line] = TypeAdapter(Annotated[Line, Field(discriminator="key")])

Added = tuple[str, File]
Step = Added | DeleteLine


def apply(steps: Iterable[Step], before: Manifest) -> Manifest:
    """The files after ``steps``.

    Raises:
        HubError: 404 EntryNotFound for the deletion of what is not there; 400 when a path would
            be a file and a folder at once.
    """
    files = dict(before)
    for step in steps:
        if isinstance(step, DeleteLine):
            for path in _deleted(step, files):
                del files[path]
        else:
            files[step[0]] = step[1]
    clash = (git.tree_ids(files).keys() & files.keys()) - {""}
    if clash:
        raise bad_request(f"Both a file and a folder: {', '.join(sorted(clash))}")
    return files


def _deleted(line: DeleteLine, files: Manifest) -> list[str]:
    path = line.value.path.strip("/")
    if line.key == "deletedFile":
        found = [path] if path in files else []
    else:
        found = [p for p in files if p.startswith(f"{path}/")]
    if not found:
        raise entry_not_found(line.value.path)
    return found
