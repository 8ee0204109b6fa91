"""Making the kernels ready before they are needed."""

import pytest

from tests.kernels.card import DEVICE, warm


@pytest.mark.parametrize("precision", ["bf16", "fp8"])
def test_all_programs_run_on_the_few_numbers(precision: str) -> None:
    """No program refuses what it is warmed with: a failure would only be seen in a log."""
    warm.programs(DEVICE, precision)
