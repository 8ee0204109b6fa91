"""Memory of the processes that quantize."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from auto_round import envs
from auto_round.export.export_to_autoround.qlinear_fp import _get_packing_fn, pack_fp4_to_uint8_cpu

from tasks.core.schemes import E2M1_MAX
from tasks.kernels.nvfp4 import E2M1
from tasks.quantize.launch import environment
from tasks.quantize.memory import SMALL_CARD, pack_within

SWITCH = "AR_ENABLE_COMPILE_PACKING"
ASKS = """
import torch
from pathlib import Path
made = torch.ones(1 << 25)  # kept while the areas are read
areas = Path("/proc/self/smaps").read_text().split("VmFlags:")
print(any(" hg" in each.partition("\\n")[0] for each in areas))
"""


@pytest.mark.parametrize(("card", "compiled"), [(12e9, True), (SMALL_CARD, False), (80e9, False)])
def test_packing_is_compiled_on_small_cards(
    monkeypatch: pytest.MonkeyPatch, card: float, *, compiled: bool
) -> None:
    """AutoRound itself reads the switch, which is thrown for small cards alone."""
    monkeypatch.setenv(SWITCH, "0")
    pack_within(card)
    assert envs.AR_ENABLE_COMPILE_PACKING is compiled


# torch's compiler imports what torch itself has deprecated
@pytest.mark.filterwarnings("ignore:.torch.jit.script_method. is deprecated:DeprecationWarning")
def test_compiled_packing_gives_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of every code, both signs of zero among them, in shapes of two kinds."""
    monkeypatch.setenv(SWITCH, "0")
    pack_within(SMALL_CARD / 2)
    values = torch.tensor([sign * value for value in E2M1 for sign in (1.0, -1.0)])
    assert values.abs().max() == E2M1_MAX
    generator = torch.Generator().manual_seed(0)
    for shape in ((64, 96), (33, 32)):
        drawn = values[torch.randint(len(values), shape, generator=generator)]
        assert torch.equal(_get_packing_fn()(drawn), pack_fp4_to_uint8_cpu(drawn))


def test_the_child_asks_for_huge_pages(tmp_path: Path) -> None:
    """With the child's environment torch tells the kernel so of its memory, and not without."""
    for env, asked in ((environment(tmp_path), "True"), (dict(os.environ), "False")):
        done = subprocess.run(
            [sys.executable, "-c", ASKS], env=env, capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == asked
