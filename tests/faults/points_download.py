"""What goes wrong between the Hub and a download."""

import time
from collections.abc import Callable

from tests.faults import disk
from tests.faults.case import Case
from tests.faults.fault import ENOUGH, Cut, Fault, Flip, Slow, Then
from tests.faults.point import Point

SHARD = "/_cdn/"
AT = 300_000
DOWN_SECONDS = 8.0
LATE_SECONDS = 40.0
RATE = 2e6


def broken(*make: Callable[[], Fault]) -> Callable[[Case], None]:
    """A release with faults between the Hub and its clients."""

    def act(case: Case) -> None:
        with case.stand.hub.broken(*(each() for each in make)), case.release():
            pass

    return act


def refused(case: Case) -> None:
    """Nobody listens for a while, from the start of the run on."""
    with case.release():
        case.engine("cpu")
        with case.stand.hub.refusing():
            time.sleep(DOWN_SECONDS)


def hub_killed(case: Case) -> None:
    """The Hub dies in the middle of a shard, and comes back."""
    death = Fault("GET", SHARD, down=lambda: Then(AT, lambda: case.stand.kill("hub")))
    with case.stand.hub.broken(death), case.release():
        pass


def half_a_shard(case: Case) -> None:
    """A dead run left half a shard, the second half of it garbage."""
    model = case.folder("download")
    shard = min(model.glob("*.safetensors"))
    record = model.with_suffix(".json")
    disk.leave_partial(record, model, {f"{shard.name}.part": shard.read_bytes()[:AT] + b"x" * AT})
    with case.release():
        pass


POINTS = (
    Point(
        "download-bit-flip",
        "one bit of a shard changed on the way from the Hub",
        broken(lambda: Fault("GET", SHARD, down=lambda: Flip(AT))),
        ("download",),
    ),
    Point(
        "download-truncated",
        "three answers of the Hub ended early, as if that were all",
        broken(lambda: Fault("GET", SHARD, times=3, down=lambda: Cut(AT, reset=False))),
        ("download",),
    ),
    Point(
        "download-reset",
        "three connections to the Hub reset in the middle of a shard",
        broken(lambda: Fault("GET", SHARD, times=3, down=lambda: Cut(AT))),
        ("download",),
    ),
    Point(
        "download-503",
        "the Hub answers 503 with Retry-After, three times",
        broken(lambda: Fault("GET", SHARD, times=3, answer=(503, {"Retry-After": "1"}))),
        ("download",),
    ),
    Point(
        "download-429",
        "the Hub answers 429 with Retry-After, four times",
        broken(
            lambda: Fault("GET", "/resolve/|/tree/", times=4, answer=(429, {"Retry-After": "1"}))
        ),
        ("download",),
    ),
    Point(
        "download-slow",
        "the Hub sends two megabytes a second a file",
        broken(lambda: Fault("GET", SHARD, times=ENOUGH, down=lambda: Slow(RATE))),
        ("download",),
    ),
    Point(
        "download-stalls",
        "the Hub takes a request for a shard and is silent for 40 s",
        broken(lambda: Fault("GET", SHARD, stall=LATE_SECONDS)),
        ("download",),
    ),
    Point(
        "hub-refused",
        "the Hub's port refuses connections for 8 s, from the first on",
        refused,
        ("download",),
    ),
    Point(
        "hub-killed-download",
        "SIGKILL of the Hub in the middle of the base's shards",
        hub_killed,
        ("download",),
    ),
    Point(
        "download-half-shard",
        "a dead run left a shard whose second half is garbage",
        half_a_shard,
    ),
    Point(
        "download-disk-full",
        "the disk is full when the shards come",
        disk.full_at(lambda case, fill: disk.when_asked(case, "GET", SHARD, fill)),
        ("download",),
        mend=disk.free,
    ),
)
