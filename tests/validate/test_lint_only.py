"""The lint-only profile: all checks of the files, no server, a verdict of its own."""

import json
from pathlib import Path

import pytest

from tasks.clients.hub import Hub
from tasks.convert.convert import build as convert
from tasks.core.errors import InputError
from tasks.core.progress import Silent
from tasks.core.recipe import load_recipe
from tasks.core.settings import Settings
from tasks.validate.assess import EVIDENCE, REPORT, assess_folders, publish
from tasks.validate.evidence import Evidence
from tasks.validate.gate import Folders, Gate
from tasks.validate.validate import facts, require_passed
from tests.fake_release import RECIPE, make_base, make_output
from tests.validate.conftest import ROOT

LIGHT = load_recipe(
    "demo", {"validation.profile": "lint-only", "validation.limits.size_ratio": 1.0}
)


def unreached(*_: object) -> None:
    raise AssertionError("something was measured")


def judged(base: Path, candidate: Path, scratch: Path) -> Evidence:
    """The gate's evidence; the test fails if it serves or compares."""
    folders = Folders(base=base, candidate=candidate, evidence=scratch / "e", logs=scratch / "l")
    settings = Settings(home=scratch, serve_python=ROOT / ".venv/serve/bin/python")
    gate = Gate(folders, recipe=LIGHT, settings=settings, reporter=Silent())
    folders.evidence.mkdir(parents=True)
    found = gate.judge(unreached, unreached, ("base", "candidate"))  # type: ignore[arg-type]
    publish(found, folders.evidence)
    return found


@pytest.fixture
def made(tmp_path: Path) -> tuple[Path, Path]:
    base, output, candidate = (tmp_path / name for name in ("base", "output", "candidate"))
    make_base(base)
    make_output(base, output)
    convert(candidate, base, output, RECIPE, Silent())
    return base, candidate


def test_sound_files_are_linted_and_not_accepted(made: tuple[Path, Path], tmp_path: Path) -> None:
    """LINT_ONLY, which passes the stage; JSON and page say that quality was not measured."""
    found = judged(*made, tmp_path / "scratch")
    assert found.verdict == "LINT_ONLY"
    assert len(found.checks) > 20
    require_passed(found, tmp_path)
    assert facts(found)["metrics"] is None
    folder = tmp_path / "scratch/e"
    assert json.loads((folder / EVIDENCE).read_text())["verdict"] == "LINT_ONLY"
    page = (folder / REPORT).read_text()
    assert "Quality was not measured" in page
    assert "ACCEPT" not in page.partition("</head>")[2]


def test_broken_files_are_a_regression(made: tuple[Path, Path], tmp_path: Path) -> None:
    """A changed chat template stops the release as it does with the full profile."""
    base, candidate = made
    (candidate / "chat_template.jinja").write_text("{{ messages }}")
    found = judged(base, candidate, tmp_path / "scratch")
    assert found.verdict == "REGRESSION"
    assert [check.name for check in found.failed if "template" in check.seen + check.name]


def test_the_gate_command_measures_or_refuses(made: tuple[Path, Path], tmp_path: Path) -> None:
    """A recipe that measures nothing has no verdict to give; it says which command checks files."""
    with pytest.raises(InputError, match="roundhouse lint"):
        assess_folders(
            *made, tmp_path / "out", recipe=LIGHT, settings=Settings(home=tmp_path),
            hub=Hub.from_settings(Settings()), reporter=Silent(),
        )  # fmt: skip
