"""Repair on the trained base: a planted regression is found, kept, and gone."""

import json
from pathlib import Path

import numpy as np
import pytest

from tasks.core.checkpoint import Checkpoint
from tasks.core.errors import CheckFailed
from tasks.core.manifest import relative_files
from tasks.core.progress import Silent
from tasks.core.recipe import load_recipe
from tasks.core.records import ConvertRecord
from tasks.validate.compare import Comparison, compare
from tasks.validate.lint import static_checks
from tasks.validate.measures import judge
from tasks.validate.tokens import HeldoutText
from tests.repair.case import BUDGET, PLANTED, ROWS, Case
from tests.validate.second_engine import expected_logprobs

pytestmark = pytest.mark.heavy
SILENT = Silent()


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    changes = {
        "validation.heldout": {"files": str(ROWS)},
        "validation.repair": {"attempts": 1, "size_budget": BUDGET},
    }
    return Case(tmp_path_factory.mktemp("repair"), load_recipe("demo", changes))


@pytest.fixture(scope="module")
def repaired(case: Case) -> ConvertRecord:
    return case.repair()


def test_the_planted_layer_is_found_and_kept(case: Case, repaired: ConvertRecord) -> None:
    """It stands first, with the whole gain; what is added is in the budget."""
    (step,) = repaired.repairs
    assert step.kept[0].modules == (PLANTED,)
    assert step.kept[0].gain > 0.5 * step.kl_before
    assert step.kl_after < 0.5 * step.kl_before
    assert step.considered == 32
    base = sum(f.size for f in case.download.files if f.path.endswith(".safetensors"))
    added = repaired.weight_bytes - case.convert.weight_bytes
    assert 0 < sum(kept.bytes for kept in step.kept) <= BUDGET * base
    assert added == pytest.approx(sum(kept.bytes for kept in step.kept), abs=4096)


def test_all_else_is_byte_for_byte(case: Case, repaired: ConvertRecord) -> None:
    """Kept layers are the base's bytes, other tensors and files the refused candidate's."""
    base, before, after = map(Checkpoint, (case.download.path, case.convert.path, repaired.path))
    for module in repaired.kept:
        assert after.read(f"{module}.weight") == base.read(f"{module}.weight")
    same = set(before.tensors) & set(after.tensors)
    assert {name.rpartition(".")[0] for name in set(before.tensors) - same} == set(repaired.kept)
    assert all(after.read(name) == before.read(name) for name in same)
    for path in relative_files(case.convert.path):
        if "safetensors" not in path and path != "config.json":
            assert (repaired.path / path).read_bytes() == (case.convert.path / path).read_bytes()


def test_the_linter_holds_it_to_the_recipe_and_what_was_kept(
    case: Case, repaired: ConvertRecord
) -> None:
    """Every static check holds; without leave to keep them the same layers are an error."""
    held = case.recipe.keeping(repaired.kept)
    folders = repaired.path, case.download.path
    checks = static_checks(*folders, recipe=held, reporter=SILENT)
    assert [check.name for check in checks if not check.passed] == []
    strict = static_checks(*folders, recipe=case.recipe, reporter=SILENT)
    assert [check.name for check in strict if not check.passed]


def test_the_regression_becomes_an_acceptance(case: Case, repaired: ConvertRecord) -> None:
    """By the gate's own measures on other rows: something fails before, all holds after."""
    texts = _texts(case.download.path)
    base = expected_logprobs(case.download.path, texts, 20)

    def decisions(candidate: Path) -> set[str]:
        found: Comparison = compare(
            base, expected_logprobs(candidate, texts, 40), [text.stratum for text in texts]
        )
        limits = case.recipe.validation.limits
        judged = judge(found.texts, limits, seed=42, confidence=0.95, budget=len(texts))
        return set(judged.decisions)

    assert "fails" in decisions(case.convert.path)
    assert decisions(repaired.path) == {"holds"}


def test_the_same_repair_is_made_once(case: Case, repaired: ConvertRecord) -> None:
    """A second call hands the record out; ranking again would give the same layers."""
    before = repaired.path.stat().st_mtime_ns
    assert case.repair() == repaired
    assert repaired.path.stat().st_mtime_ns == before


def test_no_room_is_a_refusal(case: Case) -> None:
    """With a budget below one layer nothing is kept, and the message says what to raise."""
    changes = {
        "validation.repair": {"size_budget": 1e-6},
        "validation.heldout": {"files": str(ROWS)},
    }
    with pytest.raises(CheckFailed, match="size_budget"):
        case.repair(load_recipe("demo", changes))


def _texts(base: Path) -> list[HeldoutText]:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base)
    rows = [json.loads(line) for line in ROWS.read_text().splitlines()]
    ids = [tokenizer(row["text"])["input_ids"][:160] for row in rows if "text" in row]
    enough = [each for each in ids if len(each) >= 32][:40]
    assert len(enough) == 40
    assert np.mean([len(each) for each in enough]) > 64
    return [HeldoutText(stratum="text", ids=tuple(each)) for each in enough]
