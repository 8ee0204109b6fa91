"""Processes that are killed: each child, each worker, each run, the Prefect server."""

import time
from collections.abc import Callable

from tests.faults.case import GUARDIAN, Case
from tests.faults.fault import ENOUGH, Fault, Slow, Then
from tests.faults.point import Point

QUANTIZE, CALIBRATE, LINT = "tasks.quantize.worker", "tasks.calibrate.worker", "schema_probe"
MIDST_SECONDS = 3.0
RATE = 2e6
MIB = 1 << 20


def child(*marks: str, seconds: float = MIDST_SECONDS) -> Callable[[Case], None]:
    """SIGKILL of a child some seconds after its start."""

    def act(case: Case) -> None:
        with case.release():
            process = case.child(*marks)
            time.sleep(seconds)
            process.kill()

    return act


def while_quantizing(kill: Callable[[Case], None]) -> Callable[[Case], None]:
    """SIGKILL of something else while the quantize child works."""

    def act(case: Case) -> None:
        with case.release():
            case.child(QUANTIZE)
            time.sleep(MIDST_SECONDS)
            kill(case)

    return act


def worker_downloading(case: Case) -> None:
    """The network is slow, and the worker dies in the middle of a shard."""
    slow = Fault("GET", "/_cdn/", times=ENOUGH, down=lambda: Slow(RATE))
    with case.stand.hub.broken(slow), case.release():
        case.engine("cpu")
        while not slow.met:
            time.sleep(0.1)
        time.sleep(1.0)
        case.stand.kill("worker-cpu")


def worker_uploading(case: Case) -> None:
    """The worker dies in the middle of a large file."""
    case.unsend()
    death = Fault(
        "PUT", "/_lfs/upload/", up=lambda: Then(MIB, lambda: case.stand.kill("worker-cpu"))
    )
    with case.stand.hub.broken(death), case.release():
        pass


def run_archiving(case: Case) -> None:
    """The release's own process dies in the middle of a part: nobody is left to call it off."""
    death = Fault("PUT", "partNumber=2", up=lambda: Then(MIB // 4, case.engine("cpu").kill))
    with case.stand.s3.broken(death), case.release():
        pass


POINTS = (
    Point("quantize-child", "SIGKILL of the quantize child", child(QUANTIZE), ("quantize",)),
    Point(
        "quantize-guardian",
        "SIGKILL of the guardian of the quantize child",
        child(GUARDIAN, QUANTIZE),
        ("quantize",),
    ),
    Point(
        "calibrate-child",
        "SIGKILL of the calibrate child",
        child(CALIBRATE, seconds=1.0),
        ("calibrate",),
    ),
    Point("lint-child", "SIGKILL of the lint child", child(LINT, seconds=1.0), ("validate",)),
    Point(
        "quantize-run",
        "SIGKILL of the run on the GPU worker while it quantizes",
        while_quantizing(lambda case: case.engine("gpu").kill()),
        ("quantize",),
    ),
    Point(
        "gpu-worker",
        "SIGKILL of the GPU worker while it quantizes",
        while_quantizing(lambda case: case.stand.kill("worker-gpu-0")),
        ("quantize",),
    ),
    Point(
        "release-run",
        "SIGKILL of the release's own run while another quantizes",
        while_quantizing(lambda case: case.engine("cpu").kill()),
        ("quantize",),
    ),
    Point(
        "prefect-server",
        "SIGKILL of the Prefect server while a run quantizes",
        while_quantizing(lambda case: case.stand.kill("prefect")),
        ("quantize",),
    ),
    Point(
        "cpu-worker-download",
        "SIGKILL of the CPU worker in the middle of a shard from the Hub",
        worker_downloading,
        ("download",),
    ),
    Point(
        "cpu-worker-upload",
        "SIGKILL of the CPU worker in the middle of a large file to the Hub",
        worker_uploading,
    ),
    Point(
        "run-archive-part",
        "SIGKILL of the release's run in the middle of a part to S3",
        run_archiving,
    ),
)
