"""What a machine is seen to have."""

import os
import shutil
from pathlib import Path

import psutil
import pytest

from tasks.plan.hardware import detect, installed, parse, visible

ANSWER = """\
0, GPU-aaaa-1, NVIDIA H100 80GB HBM3, 81559
1, GPU-bbbb-2, NVIDIA H100 80GB HBM3, 81559
2, GPU-cccc-3, NVIDIA GB10, [N/A]
"""


def test_this_machine_is_described(tmp_path: Path) -> None:
    """Processors, memory and disk agree with the operating system's own figures."""
    found = detect(tmp_path / "not" / "there" / "yet")
    assert found.cpus == len(os.sched_getaffinity(0))
    assert 0 < found.ram <= psutil.virtual_memory().total
    assert found.disk_free == pytest.approx(shutil.disk_usage(tmp_path).free, rel=0.05)


def test_the_drivers_answer_is_read() -> None:
    """Name and memory of each accelerator; one that tells no memory is left out."""
    found = parse(ANSWER)
    assert [(gpu.index, gpu.memory >> 20) for gpu in found] == [("0", 81559), ("1", 81559)]
    assert found[0].name == "NVIDIA H100 80GB HBM3"


@pytest.mark.parametrize(
    ("chosen", "indices"),
    [(None, "01"), ("", ""), ("1", "1"), ("1,0", "10"), ("GPU-aaaa", "0"), ("-1", "")],
)
def test_hidden_accelerators_do_not_count(chosen: str | None, indices: str) -> None:
    """CUDA_VISIBLE_DEVICES is honoured as CUDA does: numbers or UUIDs, in its order."""
    assert "".join(gpu.index for gpu in visible(parse(ANSWER), chosen)) == indices


@pytest.mark.parametrize("body", ["echo broken; exit 9", "echo 'no, table'", "printf '\\377'"])
def test_a_broken_driver_is_no_accelerator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str
) -> None:
    """A driver that fails or talks nonsense means that the processor is used."""
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert installed() == []
