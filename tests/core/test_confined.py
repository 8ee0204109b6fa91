"""A stranger's program in a process that ends with its limits."""

import os
import signal
import time
from typing import Any

import psutil
import pytest

from tasks.core.confined import Confined, Limits, Unanswered

LIMITS = Limits(seconds=1.0, memory=256 << 20, characters=100)
"""A test's own process may be large; what is asked for here is beyond all of it."""


def work(question: Any) -> str:
    """Do what the question names."""
    match question:
        case "sleep":
            time.sleep(60)
        case "memory":
            return str(len(bytearray(1 << 40)))
        case "die":
            os.kill(os.getpid(), signal.SIGKILL)
        case "long":
            return "x" * 101
        case "fail":
            raise ValueError("no good")
        case "pid":
            return str(os.getpid())
    return f"{question}"


@pytest.mark.parametrize(
    ("question", "told"),
    [
        ("sleep", "no end after 1 s"),
        ("memory", "more than 256 MiB of memory wanted"),
        ("die", "its process died: SIGKILL"),
        ("long", "101 characters; 100 are allowed"),
        ("fail", "ValueError: no good"),
    ],
)
def test_what_goes_wrong_is_told_and_the_next_question_answered(question: str, told: str) -> None:
    """Each way to fail has its words, ends that process, and leaves the next question unharmed."""
    with Confined(work, LIMITS) as confined:
        first = int(confined.ask("pid"))
        with pytest.raises(Unanswered, match=told):
            confined.ask(question)
        assert not psutil.pid_exists(first)
        assert confined.ask("täglich \ud800") == "täglich \ud800"


def test_one_process_answers_and_ends_with_the_block() -> None:
    """Questions share a process that is not this one, and nothing of it is left."""
    with Confined(work, LIMITS) as confined:
        pids = {int(confined.ask("pid")) for _ in range(5)}
        assert os.getpid() not in pids
        (pid,) = pids
    assert not psutil.pid_exists(pid)
