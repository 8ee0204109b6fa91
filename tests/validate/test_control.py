"""The control: rounded to nearest, with the candidate's layers and activation scales."""

from pathlib import Path

from tasks.convert.convert import build as convert
from tasks.core.progress import Silent
from tasks.validate.control import Job
from tasks.validate.control_worker import round_to_nearest
from tasks.validate.lint import static_checks
from tests.fake_release import RECIPE, load_stored, make_base, make_output, store


def test_a_candidate_that_was_rounded_is_its_own_control(tmp_path: Path) -> None:
    """Every tensor of a rounded candidate's control is the candidate's, and the linter passes."""
    make_base(tmp_path / "base")
    make_output(tmp_path / "base", tmp_path / "output")
    candidate, control = tmp_path / "candidate", tmp_path / "control"
    convert(candidate, tmp_path / "base", tmp_path / "output", RECIPE, Silent())
    wanted = load_stored(candidate)
    damaged = {
        name: (spec, bytes(len(raw)) if name.endswith("weight_packed") else raw)
        for name, (spec, raw) in wanted.items()
    }
    store(candidate, damaged)
    made = round_to_nearest(Job(base=tmp_path / "base", candidate=candidate, output=control))
    assert load_stored(control) == wanted
    assert made.modules == sum(name.endswith("weight_packed") for name in wanted)
    checks = static_checks(control, tmp_path / "base", recipe=None, reporter=Silent())
    assert [check.name for check in checks if not check.passed] == []
