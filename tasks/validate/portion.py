"""A part of a stage's progress, told as if it were the whole."""

from tasks.core.progress import Reporter


class Portion:
    """A reporter whose 0 to 1 is `begin` to `end` of another's.

    Args:
        whole: the stage's reporter.
        begin: where the part begins, from 0 to 1.
        end: where it ends.
    """

    def __init__(self, whole: Reporter, begin: float, end: float) -> None:
        self._whole, self._begin, self._end = whole, begin, end

    def note(self, message: str) -> None:
        """Hand the line on."""
        self._whole.note(message)

    def update(self, fraction: float, message: str) -> None:
        """Hand the progress on, scaled into the part."""
        self._whole.update(self._begin + (self._end - self._begin) * fraction, message)
