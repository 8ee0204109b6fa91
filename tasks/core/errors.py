"""Every error Roundhouse raises on purpose.

RoundhouseError
├── TransientError          something outside failed; the same call may succeed later
│   ├── HubUnavailable          the Hub did not answer, or answered 429 or 5xx
│   ├── StoreUnavailable        S3 did not answer, or answered 429 or 5xx
│   ├── ServingUnavailable      the model server went away while it was in use
│   └── WorkerLost              a child process was killed from outside
└── PermanentError          trying again changes nothing until somebody acts
    ├── InputError              what was asked for cannot be done as asked
    │   ├── RecipeError             a recipe has unknown keys or impossible values
    │   ├── BaseModelError          the base is missing, closed, or of a kind not covered
    │   ├── TargetError             the target repository cannot be written
    │   └── StoreError              the bucket is missing or the credentials are wrong
    ├── MachineError            the machine lacks what the work needs
    │   ├── ResourceError           disk, memory or a device is too small
    │   └── ServingError            the serving environment is missing or the server died
    ├── IntegrityError          bytes are not what their record says
    ├── QuantizeError           the quantizer failed or did less than it was asked to
    ├── CheckFailed             a check or a verdict says no
    │   ├── Damaged                 the gate measured damage: the verdict is REGRESSION
    │   └── Undecided               the gate's evidence decides nothing
    └── CanceledError           a person stopped the run

Exit codes: 1 for CheckFailed and IntegrityError, 2 for the other permanent ones, 3 for transient
ones. Every error pickles, since errors cross processes.
"""

from collections.abc import Callable

FAILED_CHECK = 1
BAD_INPUT = 2
TRY_AGAIN = 3


class RoundhouseError(Exception):
    """Base of all errors raised on purpose; says what, what was expected and found, what to do.

    Args:
        what: what went wrong, one line.
        expected: what was expected instead.
        found: what was found.
        remedy: what to do about it.
        verdict: the gate's, where that is what refused; empty for all else.
    """

    exit_code = BAD_INPUT
    transient = False

    def __init__(
        self,
        what: str,
        *,
        expected: str = "",
        found: str = "",
        remedy: str = "",
        verdict: str = "",
    ) -> None:
        super().__init__(what)
        self.what = what
        self.expected = expected
        self.found = found
        self.remedy = remedy
        self.verdict = verdict

    def told(self) -> dict[str, str]:
        """Its class and its parts, from which `error_from` makes it again in another process."""
        return {
            "kind": type(self).__name__,
            "what": self.what,
            "expected": self.expected,
            "found": self.found,
            "remedy": self.remedy,
            "verdict": self.verdict,
        }

    def __str__(self) -> str:
        """One line for each part that was given."""
        parts = (("expected", self.expected), ("found", self.found), ("to do", self.remedy))
        return "\n".join([self.what, *(f"  {name}: {text}" for name, text in parts if text)])

    def __reduce__(self) -> tuple[Callable[..., "RoundhouseError"], tuple[object, ...]]:
        return _rebuild, (type(self), self.what, vars(self))


def _rebuild(kind: type[RoundhouseError], what: str, parts: dict[str, str]) -> RoundhouseError:
    return kind(what, **{name: text for name, text in parts.items() if name != "what"})


class TransientError(RoundhouseError):
    """Raised when something outside failed and the same call may succeed later."""

    exit_code = TRY_AGAIN
    transient = True


class HubUnavailable(TransientError):
    """Raised when the Hub did not answer, or answered 429 or 5xx."""


class StoreUnavailable(TransientError):
    """Raised when S3 did not answer, or answered 429 or 5xx."""


class ServingUnavailable(TransientError):
    """Raised when the model server went away while it was in use."""


class WorkerLost(TransientError):
    """Raised when a child process was killed from outside."""


class PermanentError(RoundhouseError):
    """Raised when trying again changes nothing until somebody acts."""


class InputError(PermanentError):
    """Raised when what was asked for cannot be done as asked."""


class RecipeError(InputError):
    """Raised when a recipe has unknown keys or impossible values."""


class BaseModelError(InputError):
    """Raised when the base is missing, closed to us, or of a kind that is not covered."""


class TargetError(InputError):
    """Raised when the target repository cannot be written."""


class StoreError(InputError):
    """Raised when the bucket is missing or the credentials are wrong."""


class MachineError(PermanentError):
    """Raised when the machine lacks what the work needs."""


class ResourceError(MachineError):
    """Raised when disk, memory or a device is too small."""


class ServingError(MachineError):
    """Raised when the serving environment is missing or the server died at start."""


class IntegrityError(PermanentError):
    """Raised when bytes are not what their record says."""

    exit_code = FAILED_CHECK


class QuantizeError(PermanentError):
    """Raised when the quantizer failed or did less than it was asked to."""


class CheckFailed(PermanentError):
    """Raised when a check or a verdict says no."""

    exit_code = FAILED_CHECK


class Damaged(CheckFailed):
    """Raised when the gate measured damage in a checkpoint whose files are in order."""


class Undecided(CheckFailed):
    """Raised when the gate's evidence decides nothing: the verdict is INCONCLUSIVE."""


class CanceledError(PermanentError):
    """Raised when a person stopped the run."""


def error_from(kind: str, what: str, **parts: str) -> RoundhouseError:
    """Build an error again from its class name and parts, as another process `told` them.

    An unknown class name gives a PermanentError.
    """
    return _known(RoundhouseError).get(kind, PermanentError)(what, **parts)


def _known(root: type[RoundhouseError]) -> dict[str, type[RoundhouseError]]:
    found = {root.__name__: root}
    for child in root.__subclasses__():
        found |= _known(child)
    return found
