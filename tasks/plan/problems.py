"""Everything that stands in the way, gathered before it is said."""

from collections.abc import Iterable
from types import TracebackType

from tasks.core.errors import PermanentError


class Problems:
    """Permanent errors of checks that do not depend on each other.

    As a context manager it takes note of a permanent error instead of raising it; a transient one
    passes, since it says nothing about what was checked.
    """

    def __init__(self) -> None:
        self._found: list[PermanentError] = []

    def __enter__(self) -> None:
        """Begin a check."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        if not isinstance(error, PermanentError):
            return False
        self._found.append(error)
        return True

    def extend(self, problems: Iterable[PermanentError]) -> None:
        """Take note of several."""
        self._found.extend(problems)

    def raise_any(self) -> None:
        """Raise what was found: the only one as it is, several as one of the first one's kind."""
        if not self._found:
            return
        first = self._found[0]
        if len(self._found) == 1:
            raise first
        numbered = (f"{n}. {problem}" for n, problem in enumerate(self._found, start=1))
        listed = "\n".join(numbered).replace("\n", "\n    ")
        raise type(first)(f"{len(self._found)} things stand in the way", found=f"\n    {listed}")
