"""Jobs for child processes: JSON there and back, and our own errors with it."""

from pathlib import Path

import pytest

from tasks.core.errors import InputError, PermanentError
from tasks.core.jobs import run_job, serve
from tasks.core.manifest import Frozen

CHILD = """
import sys
from tasks.core.errors import InputError
from tasks.core.jobs import serve
from tests.core.test_jobs import Answer, Question


def work(question):
    print("working on", question.number)
    if question.number == 0:
        raise InputError("no zero", expected="a number", found="0", remedy="take another")
    return Answer(half=1 / question.number * 6 / (question.number - 1))


sys.exit(serve(Question, work))
"""


class Question(Frozen):
    """A number."""

    number: int


class Answer(Frozen):
    """What was made of it."""

    half: float


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    (tmp_path / "helper.py").write_text(CHILD)
    return tmp_path


def test_a_result_comes_back(scratch: Path) -> None:
    """The child's result arrives typed, and its output line by line."""
    lines: list[str] = []
    answer = run_job("helper", Question(number=3), Answer, scratch=scratch, on_line=lines.append)
    assert answer == Answer(half=1.0)
    assert lines == ["working on 3"]


def test_our_own_error_comes_back_whole(scratch: Path) -> None:
    """An error that the child raised on purpose is raised again, as the kind it was."""
    with pytest.raises(InputError) as caught:
        run_job("helper", Question(number=0), Answer, scratch=scratch)
    error = caught.value
    told = (error.what, error.expected, error.found, error.remedy)
    assert told == ("no zero", "a number", "0", "take another")


def test_an_unforeseen_error_names_itself_and_the_log(scratch: Path) -> None:
    """Any other failure of the child is one line; its traceback stays in the log."""
    with pytest.raises(PermanentError, match="the child process failed") as caught:
        run_job("helper", Question(number=1), Answer, scratch=scratch)
    assert caught.value.found == "ZeroDivisionError: float division by zero"
    assert "Traceback" not in str(caught.value)
    log = scratch / "worker.log"
    assert str(log) in caught.value.remedy
    assert "Traceback" in log.read_text()


def test_an_earlier_failure_is_forgotten(scratch: Path) -> None:
    """A retry in the same folder is judged by itself."""
    with pytest.raises(InputError):
        run_job("helper", Question(number=0), Answer, scratch=scratch)
    assert run_job("helper", Question(number=2), Answer, scratch=scratch) == Answer(half=3.0)


def test_a_job_of_another_kind_is_refused(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child never works on a job whose fields it does not know."""
    job = scratch / "job.json"
    job.write_text('{"number": 3, "more": 1}')
    monkeypatch.setattr("sys.argv", ["helper", str(job)])
    assert serve(Question, lambda _: Answer(half=1.0)) != 0
    assert "more" in (scratch / "failure.json").read_text()
