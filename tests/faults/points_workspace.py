"""What a crash or a full disk leaves in a workspace."""

from collections.abc import Callable
from pathlib import Path

from tests.faults import disk
from tests.faults.case import Case
from tests.faults.point import Point
from tests.faults.points_processes import QUANTIZE


def damaged(damage: Callable[[Case], None]) -> Callable[[Case], None]:
    """A release from a workspace that was damaged before."""

    def act(case: Case) -> None:
        damage(case)
        with case.release():
            pass

    return act


def halve(path: Path) -> None:
    """Cut a file in half, as a crash of the machine does that lost what was not written yet."""
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def shard(folder: Path) -> Path:
    """The first shard of a checkpoint."""
    return min(folder.glob("*.safetensors"))


def half_a_record(case: Case) -> None:
    """The record of a stage is half there."""
    halve(case.folder("convert").with_suffix(".json"))


def half_a_plan(case: Case) -> None:
    """The first record of all is half there."""
    halve(case.folder("plan").with_suffix(".json"))


def half_the_weights(case: Case) -> None:
    """A shard of a finished stage is half there, and its record says it is whole."""
    halve(shard(case.folder("convert")))


def half_quantized(case: Case) -> None:
    """A dead run of the quantizer left half a shard where it worked."""
    folder = case.folder("quantize")
    path = shard(folder)
    half = path.read_bytes()[: path.stat().st_size // 2]
    disk.leave_partial(folder.with_suffix(".json"), folder, {path.name: half})


def zeroed_weights(case: Case) -> None:
    """A block of a shard reads as zeros, with the right length, as after a power failure."""
    path = shard(case.folder("quantize"))
    data = bytearray(path.read_bytes())
    data[-4096:] = bytes(4096)
    path.write_bytes(data)


POINTS = (
    Point("record-half-written", "the record of convert is half there", damaged(half_a_record)),
    Point("plan-half-written", "the record of plan is half there", damaged(half_a_plan)),
    Point("weights-half-written", "a converted shard is half there", damaged(half_the_weights)),
    Point("weights-zeroed", "the end of a quantized shard reads as zeros", damaged(zeroed_weights)),
    Point(
        "quantize-half-written",
        "a dead quantizer left half a safetensors file",
        damaged(half_quantized),
    ),
    Point(
        "quantize-disk-full",
        "the disk is full when the quantizer works",
        disk.full_at(lambda case, fill: disk.when_working(case, QUANTIZE, fill)),
        ("quantize",),
        mend=disk.free,
    ),
)
