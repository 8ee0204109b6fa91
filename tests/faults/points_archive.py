"""What goes wrong between S3 and an archive, or a restore from it."""

import time
from collections.abc import Callable

from infra.local.environment import BUCKET
from tests.faults.case import Case
from tests.faults.fault import ENOUGH, Cut, Fault, Flip, Then
from tests.faults.point import Point
from tests.faults.proof import Published

PART, COMPLETE = "partNumber=2", "uploadId="
CONFIG, MANIFEST = "checkpoint/config.json", "manifest.json"
AT = 100_000
DOWN_SECONDS = 8.0
XML = {"Content-Type": "application/xml"}
SKEWED = (
    b"<Error><Code>RequestTimeTooSkewed</Code><Message>The difference between the request time "
    b"and the server's time is too large.</Message></Error>"
)
BUSY = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"


def broken(make: Callable[[Case], Fault]) -> Callable[[Case], None]:
    """A release with a fault between S3 and its clients."""

    def act(case: Case) -> None:
        with case.stand.s3.broken(make(case)), case.release():
            pass

    return act


def dead_store(case: Case) -> Callable[[], None]:
    """SIGKILL of the S3 server."""
    return lambda: case.stand.kill("s3")


def refused(case: Case) -> None:
    """Nobody listens for a while, from the start of the run on."""
    with case.release():
        case.engine("cpu")
        with case.stand.s3.refusing():
            time.sleep(DOWN_SECONDS)


def key(case: Case, name: str) -> str:
    """Key of an object of the release that is to be archived."""
    prefix = case.stand.settings.archive.removeprefix(f"s3://{BUCKET}/")
    (release,) = (path.name for path in (case.home / "releases").iterdir())
    return f"{prefix}/{case.target}/{release}/{name}"


def there_already(name: str, data: bytes) -> tuple[Callable[[Case], None], Callable[[Case], None]]:
    """A release that finds other content under a name of its archive, and who deletes it."""

    def act(case: Case) -> None:
        case.stand.objects.put_object(Bucket=BUCKET, Key=key(case, name), Body=data)
        with case.release():
            pass

    def mend(case: Case) -> None:
        case.stand.objects.delete_object(Bucket=BUCKET, Key=key(case, name))

    return act, mend


def restoring(case: Case) -> None:
    """The S3 server dies in the middle of an object that is restored."""
    with case.release():
        pass
    uri = f"s3://{BUCKET}/{key(case, '').rstrip('/')}"
    arguments = ("restore", uri, str(case.home / "restored"))
    death = Fault("GET", r"\.safetensors", down=lambda: Then(AT, dead_store(case)))
    with case.stand.s3.broken(death), case.command(*arguments):
        pass


def restored(case: Case, _: Published) -> None:
    """The command put every file in place, verified; nothing half-restored is left."""
    assert (case.home / "restored" / MANIFEST).is_file()
    assert not (case.home / "restored.partial").exists()


OTHER, DELETED = there_already(CONFIG, b"{}")
HALF, AWAY = there_already(MANIFEST, b'{"origin": {"release_id": "li')

POINTS = (
    Point(
        "s3-killed-part",
        "SIGKILL of the S3 server in the middle of a part",
        broken(lambda case: Fault("PUT", PART, up=lambda: Then(AT, dead_store(case)))),
    ),
    Point(
        "s3-killed-complete",
        "SIGKILL of the S3 server when the parts are to be put together",
        broken(lambda case: Fault("POST", COMPLETE, before=dead_store(case))),
    ),
    Point(
        "s3-complete-answer-lost",
        "the parts are put together and the answer is lost",
        broken(lambda _: Fault("POST", COMPLETE, lost=True)),
    ),
    Point(
        "s3-put-answer-lost",
        "an object is written and the answer is lost",
        broken(lambda _: Fault("PUT", CONFIG, lost=True)),
    ),
    Point(
        "s3-manifest-answer-lost",
        "the manifest is written, the answer is lost and the S3 server dies",
        broken(lambda case: Fault("PUT", MANIFEST, lost=True, after=dead_store(case))),
    ),
    Point(
        "s3-reset-part",
        "three connections reset in the middle of a part",
        broken(lambda _: Fault("PUT", PART, times=3, up=lambda: Cut(AT))),
    ),
    Point(
        "s3-bit-flip",
        "one bit of a part changed on the way to S3",
        broken(lambda _: Fault("PUT", PART, up=lambda: Flip(AT))),
    ),
    Point(
        "s3-503",
        "S3 answers 503 SlowDown with Retry-After, four times",
        broken(
            lambda _: Fault(
                "PUT", "/checkpoint/", times=4, answer=(503, {"Retry-After": "1"}), body=BUSY
            )
        ),
    ),
    Point("s3-refused", "the S3 server's port refuses connections for 8 s", refused),
    Point(
        "clock-skew",
        "S3 answers that the worker's clock is wrong, as it does from 15 minutes on",
        broken(lambda _: Fault("GET", "list-type=2", times=ENOUGH, answer=(403, XML), body=SKEWED)),
    ),
    Point("archive-other-object", "another object has a name of the archive", OTHER, mend=DELETED),
    Point("archive-half-manifest", "half a manifest lies in the archive", HALF, mend=AWAY),
    Point(
        "s3-killed-restore",
        "SIGKILL of the S3 server in the middle of a shard that is restored",
        restoring,
        check=restored,
    ),
)
