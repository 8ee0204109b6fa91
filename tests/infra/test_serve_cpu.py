"""What is added to environments beside a CPU torch."""

import subprocess
import sys
import venv
from pathlib import Path

import pytest

from infra.serve_cpu.install import PARTS, install

ASK = """
from importlib.metadata import entry_points
print(sorted(e.value for e in entry_points(group="vllm.general_plugins")))
"""


@pytest.mark.parametrize("part", PARTS)
def test_an_environment_gets_its_part(part: str, tmp_path: Path) -> None:
    """The plugin is found in the serving environment alone; a second run changes nothing."""
    venv.create(tmp_path, with_pip=False)
    python = tmp_path / "bin" / "python"
    folder = install(part, python)
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    install(part, python)
    assert before == {p: p.read_bytes() for p in folder.rglob("*") if p.is_file() and p in before}
    found = subprocess.run([python, "-c", ASK], capture_output=True, text=True, check=True)
    wanted = ["roundhouse_serve_cpu:register"] if part == "serve" else []
    assert found.stdout.strip() == repr(wanted)
    assert not found.stderr


def test_the_hook_costs_nothing_until_torchvision_is_wanted(tmp_path: Path) -> None:
    """A Python that never asks for torchvision does not import torch for the hook's sake."""
    venv.create(tmp_path, with_pip=False)
    install("hook", tmp_path / "bin" / "python")
    code = (
        "import sys; assert 'roundhouse_torchvision' in sys.modules; print('torch' in sys.modules)"
    )
    found = subprocess.run(
        [tmp_path / "bin" / "python", "-c", code], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "False"


def test_torchvision_resizes_beside_a_cpu_torch() -> None:
    """With the hook, this environment's torchvision imports and resizes an image."""
    code = (
        "import torch; from torchvision.transforms.v2 import functional as f;"
        "print(tuple(f.resize(torch.rand(3, 8, 8), [4, 4]).shape))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "(3, 4, 4)"
