"""On what terms S3 keeps an object: its storage class, and how long nobody may delete it."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from tasks.core.settings import Settings


@dataclass(frozen=True)
class Terms:
    """Terms of the objects that one store writes.

    Attributes:
        storage_class: of objects that need not be read at once; empty for the bucket's own.
        lock: object lock mode, GOVERNANCE or COMPLIANCE; empty for none.
        lock_days: how long it holds.
    """

    storage_class: str = ""
    lock: str = ""
    lock_days: int = 365

    @classmethod
    def from_settings(cls, settings: Settings) -> "Terms":
        """The archive's."""
        return cls(
            settings.archive_storage_class, settings.archive_lock, settings.archive_lock_days
        )

    def arguments(self, *, cold: bool) -> dict[str, Any]:
        """Arguments of a boto3 call that makes an object.

        Args:
            cold: whether the object need not be read at once.
        """
        found: dict[str, Any] = {}
        if cold and self.storage_class:
            found["StorageClass"] = self.storage_class
        if self.lock:
            found["ObjectLockMode"] = self.lock
            found["ObjectLockRetainUntilDate"] = datetime.now(UTC) + timedelta(days=self.lock_days)
        return found
