"""What a release took and cost, beside its plan."""

from pathlib import Path

import pytest

from flows.spent import rows, spent
from tasks.core.records import Release
from tasks.core.settings import Settings
from tests.finished_stages import FACTS, finish_stages

PLANNED = {"download": 10.0, "quantize": 100.0, "validate": 50.0}
ON_GPU = {"quantize", "validate"}


def _release(folder: Path, **quantize: object) -> Release:
    estimate = FACTS["plan"]["estimate"].model_copy(update={"seconds": PLANNED})
    return finish_stages(
        folder,
        "acme/spent",
        facts={"plan": {"estimate": estimate}, "quantize": {"device": "cuda", **quantize}},
    )


def test_cost_is_time_at_the_price_of_its_worker(tmp_path: Path) -> None:
    """GPU stages cost the GPU worker's price and the others the other one, by the second."""
    release = _release(tmp_path, peak_vram=1 << 30)
    found = spent(release, (), Settings(gpu_price=3600.0, cpu_price=36.0))
    took = {record.stage: record.seconds for record in release.stages}
    for stage in found.stages:
        price = 1.0 if stage.stage in ON_GPU else 0.01
        assert stage.cost == pytest.approx(took[stage.stage] * price)
        assert stage.gpu_seconds == (took[stage.stage] if stage.stage in ON_GPU else 0)
    assert found.cost == pytest.approx(sum(s.cost or 0 for s in found.stages), abs=1e-4)


def test_what_is_not_known_is_not_told(tmp_path: Path) -> None:
    """No price, no cost; no accelerator, no seconds of one; only what was planned is compared."""
    found = spent(_release(tmp_path), (), Settings())
    assert found.cost is None
    assert {stage.cost for stage in found.stages} == {None}
    assert sum(stage.gpu_seconds for stage in found.stages) == 0
    assert {s.stage: s.planned for s in found.stages if s.planned is not None} == PLANNED
    memory = {s.stage: s.peak_ram for s in found.stages if s.peak_ram is not None}
    assert memory == {"quantize": FACTS["quantize"]["peak_ram"]}


def test_one_price_makes_a_partial_sum(tmp_path: Path) -> None:
    """With a price for GPU workers alone, the sum is that of their stages; the table says so."""
    found = spent(_release(tmp_path), (), Settings(gpu_price=7200.0))
    of_gpu = sum(s.seconds for s in found.stages if s.stage in ON_GPU) * 2
    assert found.cost == pytest.approx(of_gpu, abs=1e-4)
    head, *lines, last = rows(found)
    assert [line[0] for line in lines] == [stage.stage for stage in found.stages]
    assert {len(line) for line in (head, *lines, last)} == {6}
    assert [line[0] for line in lines if line[5]] == ["quantize", "validate"]
    assert float(last[1]) == sum(PLANNED.values())
