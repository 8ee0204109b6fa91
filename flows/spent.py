"""What a release took, beside what its plan said: time, memory, accelerators, money."""

from tasks.core.manifest import Frozen, StageRecord
from tasks.core.records import QuantizeRecord, Release
from tasks.core.settings import Settings

ON_GPU = frozenset({"quantize", "validate"})
"""Stages that run in the pool `gpu`."""
HOUR = 3600.0


class Stage(Frozen):
    """One stage of a release.

    Attributes:
        stage: its name.
        planned: seconds that the plan said; None where it said nothing.
        seconds: that it took when it was made, which may have been for an earlier release.
        gpu_seconds: of an accelerator.
        peak_ram: bytes of its child process; None where it was not measured.
        cost: of the worker's time; None where no price is set.
    """

    stage: str
    planned: float | None
    seconds: float
    gpu_seconds: float
    peak_ram: int | None
    cost: float | None


class Spent(Frozen):
    """A release's stages, in their order."""

    stages: tuple[Stage, ...] = ()

    @property
    def planned(self) -> float:
        """Seconds that the plan said of all stages."""
        return sum(stage.planned or 0.0 for stage in self.stages)

    @property
    def cost(self) -> float | None:
        """Of all stages; None where no price is set."""
        costs = [stage.cost for stage in self.stages if stage.cost is not None]
        return round(sum(costs), 4) if costs else None


def spent(release: Release, ended: tuple[StageRecord, ...], settings: Settings) -> Spent:
    """Compare records with the plan.

    Args:
        release: with the plan's estimate.
        ended: records of the stages after validation.
        settings: name the prices.
    """
    records = (*release.stages, *ended)
    return Spent(stages=tuple(_stage(record, release, settings) for record in records))


def _stage(record: StageRecord, release: Release, settings: Settings) -> Stage:
    on_gpu = record.stage in ON_GPU
    price = settings.gpu_price if on_gpu else settings.cpu_price
    return Stage(
        stage=record.stage,
        planned=release.plan.estimate.seconds.get(record.stage),
        seconds=record.seconds,
        gpu_seconds=record.seconds if on_gpu and _had_gpu(release.quantize) else 0.0,
        peak_ram=record.peak_ram if isinstance(record, QuantizeRecord) else None,
        cost=record.seconds / HOUR * price if price else None,
    )


def _had_gpu(quantize: QuantizeRecord) -> bool:
    return quantize.peak_vram > 0


def rows(spent: Spent) -> list[list[str]]:
    """A table for people, its head first."""
    head = ["stage", "planned s", "took s", "GPU s", "peak memory GB", "cost"]
    return [head, *(_row(stage) for stage in spent.stages), _sum(spent)]


def _row(stage: Stage) -> list[str]:
    return [
        stage.stage,
        _number(stage.planned, 1),
        f"{stage.seconds:.1f}",
        f"{stage.gpu_seconds:.1f}",
        _number(stage.peak_ram and stage.peak_ram / 1e9, 2),
        _number(stage.cost, 4),
    ]


def _sum(spent: Spent) -> list[str]:
    took = sum(stage.seconds for stage in spent.stages)
    gpu = sum(stage.gpu_seconds for stage in spent.stages)
    return ["all", f"{spent.planned:.1f}", f"{took:.1f}", f"{gpu:.1f}", "", _number(spent.cost, 4)]


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"
