"""Which kernels are chosen, in fresh processes."""

import os
import subprocess
import sys

import pytest

CHOOSE = """
import torch
from tasks.kernels.select import select
print(select(torch.device("cpu")).name)
"""


@pytest.mark.parametrize(
    ("compiler", "name"), [("cc", "native"), ("/nowhere/cc", "eager"), ("false", "eager")]
)
def test_without_a_working_compiler_the_eager_kernels_are_chosen(compiler: str, name: str) -> None:
    """A machine without a compiler, or with one that fails, tunes all the same."""
    done = subprocess.run(
        [sys.executable, "-c", CHOOSE],
        env={**os.environ, "CC": compiler},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == name
