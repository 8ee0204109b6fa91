"""How a stage says how far it is: to a Prefect artifact, to a terminal, or to nobody."""

from typing import Protocol


class Reporter(Protocol):
    """Where a stage's progress goes."""

    def note(self, message: str) -> None:
        """Say one line that is worth keeping in the log."""

    def update(self, fraction: float, message: str) -> None:
        """Say how far the stage is.

        Args:
            fraction: done part of the stage, from 0 to 1.
            message: what is being done now, one line.
        """


class Silent:
    """A reporter that tells nobody."""

    def note(self, message: str) -> None:
        """Drop the line."""

    def update(self, fraction: float, message: str) -> None:
        """Drop the progress."""
