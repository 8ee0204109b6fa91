"""The strained base is the same function as the one it was made from."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForImageTextToText

from infra.local.base_model.build import build_trained
from tests.repair.strained import strain

pytestmark = pytest.mark.heavy


@torch.no_grad()
def _logits(folder: Path) -> torch.Tensor:
    loaded: Any = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.bfloat16)
    model = loaded.eval()
    found: torch.Tensor = model(input_ids=torch.arange(5, 69)[None]).logits
    return found


def test_straining_changes_no_answer(tmp_path: Path) -> None:
    """In BF16 every logit is the same to the bit: only rounding to 4 bits tells them apart."""
    build_trained(tmp_path)
    before = _logits(tmp_path)
    strain(tmp_path)
    assert torch.equal(_logits(tmp_path), before)
