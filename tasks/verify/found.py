"""What a verification found."""

from tasks.core.manifest import Frozen


class Problem(Frozen):
    """One file that is not what it should be, and why."""

    path: str
    what: str

    def __str__(self) -> str:
        """Both on one line."""
        return f"{self.path}: {self.what}"


class Verification(Frozen):
    """The outcome of verifying a release.

    Attributes:
        where: what was verified.
        release: name that the release's provenance gives it; empty where that could not be read.
        key: fingerprint of the key that signed it; empty where signatures were not checked.
        files: how many files were compared.
        problems: every file that is not what was published.
    """

    where: str
    release: str
    key: str
    files: int
    problems: tuple[Problem, ...]

    @property
    def good(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems
