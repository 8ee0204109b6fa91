"""Estimates against measured figures and first principles."""

import gzip
import json
import math
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.clients.hub_headers import RemoteCheckpoint
from tasks.core.recipe import Recipe, load_recipe
from tasks.core.records import Estimate, Hardware
from tasks.core.schemes import TensorSpec
from tasks.plan.base import Base, refusals
from tasks.plan.draft import Draft
from tasks.plan.estimate import block_seconds, estimate_from
from tasks.plan.gate import gate_seconds
from tasks.plan.speed import SHEETS, speed_of
from tasks.plan.table import estimate_rows

FIXTURE = Path(__file__).parent.parent / "fixtures" / "gemma-4-31b-it"
H100 = Hardware(
    cpus=16,
    ram=256 << 30,
    disk_free=1 << 40,
    gpu="NVIDIA H100 80GB HBM3",
    gpus=1,
    vram=85_520_809_984,
)
TWO_CORES = Hardware(cpus=2, ram=24 << 30, disk_free=1 << 38)
REFERENCE = load_recipe("gemma-4-31b-it-nvfp4")


@lru_cache
def gemma() -> tuple[dict[str, Any], dict[str, TensorSpec]]:
    config = json.loads((FIXTURE / "config.json").read_text())
    stored = json.loads(gzip.decompress((FIXTURE / "tensors.json.gz").read_bytes()))
    return config, {name: TensorSpec(d, tuple(shape)) for name, (d, shape) in stored.items()}


def planned(recipe: Recipe = REFERENCE, hardware: Hardware = H100) -> Estimate:
    config, tensors = gemma()
    return estimate_from(config, tensors, recipe, hardware)


def test_gemma_4_31b_shrinks_from_62_to_20_gb() -> None:
    """The reference release: the card's 62 GB become about 20 GB; the plan's table says so."""
    config, tensors = gemma()
    found = planned()
    base = Base("google/gemma-4-31B-it", "c" * 40, config, "", RemoteCheckpoint(tensors, {}, 0))
    table = Draft(base, "", REFERENCE, {}, H100, found).markdown()
    assert "| base | 62.5 GB |" in table
    assert "| release | 20.4 GB (33%) |" in table
    assert "410 in 60 blocks" in table
    assert refusals(base, REFERENCE) == []


def test_release_bytes_are_those_of_the_formats() -> None:
    """An independent count: 4.5 bits a quantized weight and two scalars, BF16 for the rest."""
    found = planned()
    kept = found.parameters - found.quantized_parameters
    packed = found.quantized_parameters * 4.5 / 8 + found.quantized_modules * 8
    assert found.release == packed + 2 * kept
    assert found.base == 2 * found.parameters
    hidden, wide, vocabulary = 5376, 21504, 262_144
    sliding = hidden * (2 * 8192 + 2 * 4096) + 3 * hidden * wide
    full = hidden * (2 * 16384 + 2048) + 3 * hidden * wide
    assert found.quantized_parameters == 50 * sliding + 10 * full
    assert kept > vocabulary * hidden


def test_an_h100_takes_what_was_measured() -> None:
    """40.6 s for a sliding block and 35.8 GB of peak VRAM, within a tenth."""
    sliding = 5376 * (2 * 8192 + 2 * 4096) + 3 * 5376 * 21504
    assert block_seconds(sliding, REFERENCE, speed_of(H100)) == pytest.approx(40.6, rel=0.1)
    assert planned().vram == pytest.approx(35.8e9, rel=0.1)
    assert 0.7 < planned().hours < 2.5


@pytest.mark.parametrize(("tuner", "seconds"), [("autoround", 4.9), ("fused", 2.1)])
def test_two_cores_take_what_was_measured(tuner: str, seconds: float) -> None:
    """A block of 983,040 parameters, 20 iterations of 8 x 128 tokens, within a third."""
    shape = {"tuning.iters": 20, "tuning.batch_size": 8, "calibration.seqlen": 128}
    recipe = load_recipe("demo", shape | {"tuning.tuner": tuner})
    assert block_seconds(983_040, recipe, speed_of(TWO_CORES)) == pytest.approx(seconds, rel=0.33)


@pytest.mark.parametrize("hardware", [H100, TWO_CORES])
def test_hours_are_those_of_the_stages(hardware: Hardware) -> None:
    """What the plan says of each stage makes what it says of all."""
    found = planned(hardware=hardware)
    assert sum(found.seconds.values()) == pytest.approx(found.hours * 3600, abs=1)
    assert max(found.seconds, key=lambda stage: found.seconds[stage]) == "quantize"


def test_a_processor_would_take_weeks() -> None:
    """31B without an accelerator is said to take very long, and more memory than there is."""
    found = planned(hardware=TWO_CORES)
    assert found.hours > 24
    assert found.ram > TWO_CORES.ram
    assert found.vram == 0


@settings(max_examples=12, deadline=None)
@given(
    iters=st.integers(1, 1000),
    nsamples=st.integers(8, 512),
    seqlen=st.sampled_from([128, 512, 2048]),
)
def test_more_work_never_takes_less(iters: int, nsamples: int, seqlen: int) -> None:
    """Hours, VRAM and memory grow with iterations, samples and their length."""

    def of(i: int, n: int, s: int) -> Estimate:
        changes = {"tuning.iters": i, "calibration.nsamples": n, "calibration.seqlen": s}
        return planned(load_recipe("gemma-4-31b-it-nvfp4", changes))

    less = of(iters, nsamples, seqlen)
    for more in (of(iters + 50, nsamples, seqlen), of(iters, nsamples + 64, seqlen * 2)):
        assert more.hours > less.hours
        assert more.vram >= less.vram
        assert more.ram >= less.ram


@pytest.mark.parametrize(
    ("name", "sheet"),
    [
        ("NVIDIA H100 80GB HBM3", "H100"),
        ("NVIDIA H100 PCIe", "H100 PCIe"),
        ("NVIDIA GH200 480GB", "GH200"),
        ("NVIDIA H200", "H200"),
        ("NVIDIA L40S", "L40S"),
        ("NVIDIA L4", "L4"),
        ("NVIDIA A100-SXM4-80GB", "A100"),
        ("NVIDIA RTX A6000", "RTX A6000"),
        ("NVIDIA A10", "A10"),
    ],
)
def test_an_accelerator_is_known_by_its_drivers_name(name: str, sheet: str) -> None:
    """Names that contain each other find their own data sheet."""
    speed = speed_of(H100.model_copy(update={"gpu": name}))
    assert speed.known
    assert math.isclose(speed.bandwidth, SHEETS[sheet][1] * 1e12)


def test_an_unknown_accelerator_is_guessed_and_said_so() -> None:
    """A name that is in no row gives a finite estimate, marked as a guess in the table."""
    strange = H100.model_copy(update={"gpu": "Strange 9000"})
    config, tensors = gemma()
    base = Base("a/b", "c" * 40, config, "", RemoteCheckpoint(tensors, {}, 0))
    found = planned(hardware=strange)
    assert not speed_of(strange).known
    assert "speed guessed" in Draft(base, "", REFERENCE, {}, strange, found).markdown()


def test_the_gate_counts_every_model_it_serves() -> None:
    """Each arm adds its start and its tokens; more texts, tasks and a second engine add theirs."""

    def gate(**changes: Any) -> float:
        chosen = {f"validation.{key}": value for key, value in changes.items()}
        return planned(load_recipe("gemma-4-31b-it-nvfp4", chosen)).seconds["validate"]

    whole, alone = gate(second_engine=0), gate(second_engine=0, arms=[])
    speed, (_, tensors) = speed_of(H100), gemma()
    parameters = sum(math.prod(spec.shape) for spec in tensors.values())
    tokens = REFERENCE.validation.budget * REFERENCE.validation.tokens
    reading = (planned().base + planned().release) / 400e6
    products = 2 * 2 * parameters * tokens / speed.rate
    assert whole - alone == pytest.approx(2 * 120 + reading + products + 60 + reading, abs=1)
    assert gate(second_engine=8) > whole
    assert gate(second_engine=0, most_texts=800) - whole == pytest.approx(2 * products, abs=1)
    task = {"name": "items", "source": {"files": "items.jsonl"}, "items": 80, "max_tokens": 100}
    answers = 10 * 100 * (planned().base + planned().release) / speed.bandwidth
    assert gate(second_engine=0, tasks=[task]) - whole == pytest.approx(answers, abs=1)


def test_a_server_starts_sooner_where_nothing_is_compiled() -> None:
    """Five starts are counted, each as long as the kind of machine takes."""
    assert speed_of(TWO_CORES).server_start < speed_of(H100).server_start
    speed, validation = speed_of(H100), REFERENCE.validation
    assert set(validation.arms) == {"floor", "control"}
    slower = replace(speed, server_start=speed.server_start + 10)
    took = [gate_seconds(62, 20, 31, validation, each) for each in (speed, slower)]
    assert took[1] - took[0] == pytest.approx(5 * 10)


def test_the_reference_gate_is_told_beforehand() -> None:
    """Minutes rather than seconds or days on an H100; nothing where nothing is measured."""
    found = planned()
    gate = found.seconds["validate"] / 3600
    assert 0.3 < gate < 2
    light = planned(load_recipe("gemma-4-31b-it-nvfp4", {"validation.profile": "lint-only"}))
    assert light.seconds["validate"] == 0
    assert found.hours - light.hours == pytest.approx(gate, rel=1e-3)
    rows = [dict(estimate_rows(each, H100))["gate"] for each in (found, light)]
    assert "minutes of that" in rows[0] or "hours of that" in rows[0]
    assert "private" in rows[1]
