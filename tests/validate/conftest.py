"""The small base model with its trained weights, and releases of it: a sound and a damaged one."""

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from infra.local.base_model.build import build_trained
from tasks.convert.convert import build as convert
from tasks.core.progress import Silent
from tasks.core.settings import Settings
from tests.fake_release import RECIPE, make_output

ROOT = Path(__file__).parents[2]
HELDOUT = ROOT / "infra/local/base_model/assets/heldout.jsonl"
NOISE = 0.3
BLOCKS = "model.language_model.layers."


def _release(base: Path, scratch: Path) -> Path:
    make_output(base, scratch / "output")
    convert(scratch / "release", base, scratch / "output", RECIPE, Silent())
    return scratch / "release"


@pytest.fixture(scope="session")
def served_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trained base: it answers the canaries rightly."""
    folder = tmp_path_factory.mktemp("base") / "base"
    build_trained(folder)
    return folder


@pytest.fixture(scope="session")
def sound(served_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its release, rounded to nearest."""
    return _release(served_base, tmp_path_factory.mktemp("sound"))


@pytest.fixture(scope="session")
def damaged(served_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release whose weights had noise of a third of their spread; no static check sees it."""
    scratch = tmp_path_factory.mktemp("damaged")
    shutil.copytree(served_base, scratch / "base")
    torch.manual_seed(0)

    for path in (scratch / "base").glob("*.safetensors"):
        weights = load_file(path)
        for name, weight in weights.items():
            if BLOCKS in name and weight.ndim == 2:
                weights[name] = weight + NOISE * weight.std() * torch.randn_like(weight)
        save_file(weights, path, metadata={"format": "pt"})
    return _release(scratch / "base", scratch)


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings of a machine of its own, with the project's serving environment."""
    return Settings(
        home=tmp_path_factory.mktemp("home"), serve_python=ROOT / ".venv/serve/bin/python"
    )
