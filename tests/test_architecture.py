"""The shape of the house: imports stay light and stages stay thin."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HEAVY = ("torch", "transformers", "auto_round", "compressed_tensors", "vllm")
STAGES = (
    *("plan", "download", "calibrate", "quantize", "reuse", "convert"),
    *("validate", "upload", "archive", "watch"),
)


@pytest.mark.parametrize(
    "module", ["flows.stages", "flows.release", "flows.watch", "flows.cli", "tasks.core"]
)
def test_flows_load_no_heavy_library(module: str) -> None:
    """Importing a flow in a fresh interpreter loads none of the heavy libraries."""
    code = f"import sys, {module}; print([m for m in {HEAVY!r} if m in sys.modules])"
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize("stage", STAGES)
def test_task_files_are_thin(stage: str) -> None:
    """A stage's Prefect task is a thin call: under 60 lines, one function."""
    text = (ROOT / "tasks" / stage / "task.py").read_text()
    functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)]
    assert len(text.splitlines()) < 60
    assert [f.name for f in functions] == [stage]


@pytest.mark.parametrize("stage", STAGES)
def test_stage_packages_export_nothing(stage: str) -> None:
    """A stage's package says what it is and re-exports nothing."""
    tree = ast.parse((ROOT / "tasks" / stage / "__init__.py").read_text())
    assert ast.get_docstring(tree)
    assert len(tree.body) == 1


def test_no_pickle_and_no_remote_code() -> None:
    """No module of ours loads pickles or runs code that a repository brings."""
    banned = {"pickle", "dill", "cloudpickle", "joblib"}
    for path in [*ROOT.glob("flows/**/*.py"), *ROOT.glob("tasks/**/*.py")]:
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not banned & set(names), path
            if isinstance(node, ast.keyword) and node.arg == "trust_remote_code":
                assert isinstance(node.value, ast.Constant), path
                assert node.value.value is False, path
