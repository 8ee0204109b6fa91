"""Which releases go first: the queue of the work pools in which a release and its stages wait."""

from enum import Enum


class Priority(Enum):
    """Queues of each work pool, the first emptied first."""

    HIGH = "high"
    DEFAULT = "default"
    LOW = "low"
