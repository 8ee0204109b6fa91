"""AutoRound's log as progress."""

from tasks.core.records import BlockLoss
from tasks.quantize.telemetry import Telemetry

BLOCKS = ("model.language_model.layers.0", "model.language_model.layers.1")
GREY, PLAIN = "\x1b[38;20m", "\x1b[0m"
BAR = "  0%|          | 0/2 [00:00<?, ?it/s]\rQuantizing model.language_model.layers.0:   0%|    "
FIRST = "quantized 7/7 layers in the block, loss iter 0: 1.887e-01 -> iter 4: 1.203e-01"
SECOND = "quantized 6/6 layers in the block, loss iter 0: 5.000e-01 -> iter 1: 4.000e-01"
LOG = [
    (0, "roundhouse: loading the base"),
    (2, f"{GREY}2026-11-24 06:17:36 INFO orchestrator.py L594: start to cache block inputs"),
    (5, f"{GREY}2026-11-24 06:17:37 INFO orchestrator.py L626: caching done{PLAIN}"),
    (15, f"{BAR}{GREY}{FIRST}{PLAIN}"),
    (27, f"{GREY}{SECOND}{PLAIN}"),
    (28, f"{GREY}2026-11-24 06:17:40 INFO shard_writer.py L483: model has been saved to x{PLAIN}"),
]


class Listener:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[float, str]] = []

    def note(self, message: str) -> None:
        """Nothing is noted."""
        raise AssertionError(message)

    def update(self, fraction: float, message: str) -> None:
        """Keep it."""
        self.told.append((fraction, message))


def test_a_log_becomes_progress_and_losses() -> None:
    """Lines that AutoRound 0.16.1 printed give block, loss, seconds and time left."""
    now = 0.0
    listener = Listener()
    telemetry = Telemetry(BLOCKS, listener, lambda: now)
    for now, line in LOG:  # noqa: B007 - the clock reads it
        telemetry.line(line)
    assert listener.told == [
        (0.0, "loading the base"),
        (0.0, "running the samples to the first block"),
        (0.0, "tuning the first block"),
        (0.5, "block 1 of 2, loss 0.189 → 0.12, 0 min 10 s left"),
        (1.0, "block 2 of 2, loss 0.5 → 0.4, 0 min 0 s left"),
        (1.0, "saving"),
    ]
    assert telemetry.losses == (
        BlockLoss(block=BLOCKS[0], first=0.1887, best=0.1203, seconds=10),
        BlockLoss(block=BLOCKS[1], first=0.5, best=0.4, seconds=12),
    )


def test_rounding_to_nearest_has_no_losses() -> None:
    """Without tuning AutoRound names no loss; blocks are counted all the same."""
    listener = Listener()
    telemetry = Telemetry(BLOCKS, listener, lambda: 0.0)
    telemetry.line("quantized 7/7 layers in the block")
    assert telemetry.losses == ()
    assert listener.told == [(0.5, "block 1 of 2, 0 min 0 s left")]
