"""Our numbers against independent code: whole distributions, and lm-eval's perplexity."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForImageTextToText, AutoTokenizer

from tasks.validate.compare import compare
from tasks.validate.second import second_opinion
from tasks.validate.tokens import HeldoutText
from tests.validate.conftest import HELDOUT
from tests.validate.second_engine import expected_logprobs

pytestmark = pytest.mark.heavy
LENGTH, TEXTS = 128, 3


def _rows() -> list[str]:
    return [json.loads(line)["text"] for line in HELDOUT.read_text().splitlines()[:TEXTS]]


def _texts(tokenizer: Any) -> list[HeldoutText]:
    return [
        HeldoutText(stratum="text", ids=tuple(tokenizer(row)["input_ids"][:LENGTH]), start=start)
        for row, start in zip(_rows(), (1, 1, 40), strict=True)
    ]


def test_exact_divergence_bounds_ours(served_base: Path, sound: Path, tmp_path: Path) -> None:
    """The child's KL is that of whole distributions, and top-k with a tail stays below it."""
    tokenizer: Any = AutoTokenizer.from_pretrained(served_base)
    texts = _texts(tokenizer)
    found = second_opinion(served_base, sound, texts, tmp_path)
    vocabulary = len(tokenizer)
    base, candidate = (expected_logprobs(m, texts, vocabulary) for m in (served_base, sound))
    exact = 0.0
    for b, c in zip(base, candidate, strict=True):
        p, q = np.zeros(b.ids.shape), np.zeros(c.ids.shape)
        np.put_along_axis(p, b.ids, b.logprobs, 1)
        np.put_along_axis(q, c.ids, c.logprobs, 1)
        exact += float((np.exp(p) * (p - q)).sum())
    tokens = sum(len(b.tokens) for b in base)
    assert found.tokens == tokens == 2 * (LENGTH - 1) + LENGTH - 40
    assert found.mean_kl == pytest.approx(exact / tokens, rel=1e-3)
    short, other = (expected_logprobs(m, texts, 20) for m in (served_base, sound))
    assert 0.3 * found.mean_kl < compare(short, other).metrics.mean_kl <= found.mean_kl * 1.001
    assert 0 < found.weights_kl < found.mean_kl
    assert [block.block for block in found.blocks] == list(range(8))
    assert all(0.02 < layer.error < 0.3 for layer in found.layers)


def test_perplexity_is_that_of_lm_eval(served_base: Path) -> None:
    """Loss over a text equals lm-eval's rolling log-likelihood of the same text."""
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    tokenizer: Any = AutoTokenizer.from_pretrained(served_base)
    model: Any = AutoModelForImageTextToText.from_pretrained(served_base, dtype=torch.bfloat16)
    words = [tokenizer.decode(tokenizer(row)["input_ids"][1:LENGTH]) for row in _rows()]
    other: Any = HFLM(
        pretrained=model,
        tokenizer=tokenizer,
        backend="causal",
        max_length=512,
        softmax_dtype="float32",
        add_bos_token=False,  # else the rolling context begins with two of them
    )
    known = other.loglikelihood_rolling(
        [Instance("loglikelihood_rolling", {}, (text,), n) for n, text in enumerate(words)]
    )
    texts = [HeldoutText(stratum="text", ids=tuple(tokenizer(t)["input_ids"])) for t in words]
    ours = expected_logprobs(served_base, texts, 8)
    for want, found in zip(known, ours, strict=True):
        assert float(found.actual.sum()) == pytest.approx(want, rel=2e-3)
