"""lm-eval's own evaluator in its child, against a server that answers by rule."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from tasks.core.errors import ServingUnavailable
from tasks.core.progress import Silent
from tasks.core.recipe_source import Source
from tasks.core.recipe_validation import Serving, Task
from tasks.validate.engine import Engine
from tasks.validate.scores.items import items_of
from tasks.validate.scores.run import score
from tasks.validate.server import Server

KEY = "the key"
ENGINE = Engine(python=Path("python"), package="vllm", version="0")
TASKS = [Task(name=name, source=Source(files="x"), items=6) for name in ("words", "tools")]


class Rule(BaseHTTPRequestHandler):
    """Repeats the question in upper case, or calls the tool that it is offered with it."""

    def do_POST(self) -> None:
        """Answer one chat completion."""
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert self.headers["Authorization"] == f"Bearer {KEY}"
        assert asked["temperature"] == 0
        word = asked["messages"][-1]["content"]
        message: dict[str, Any] = {"role": "assistant", "content": word.upper()}
        for tool in asked.get("tools", []):
            call = {"name": tool["function"]["name"], "arguments": json.dumps({"word": word})}
            message = {"role": "assistant", "content": None, "tool_calls": [{"function": call}]}
        body = json.dumps({"choices": [{"index": 0, "message": message}]}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing on the test's output."""


@contextmanager
def ruled(tmp_path: Path) -> Iterator[Server]:
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Rule)
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{httpd.server_port}"
    try:
        with Server(url, "m", SecretStr(KEY), tmp_path / "log", ENGINE) as server:
            yield server
    finally:
        httpd.shutdown()
        httpd.server_close()


def _rows() -> dict[str, list[dict[str, Any]]]:
    """Half of each task's right answers are those of the rule."""
    words, tools = [], []
    for n in range(6):
        asked = {"role": "user", "content": f"word {n}"}
        right = f"WORD {n}" if n % 2 else "other"
        words.append({"messages": [asked, {"role": "assistant", "content": right}]})
        called = {"name": f"tool_{n}", "arguments": {"word": f"word {n if n % 2 else n + 1}"}}
        answer = {"role": "assistant", "content": "", "tool_calls": [{"function": called}]}
        offered = [{"type": "function", "function": {"name": f"tool_{n}"}}]
        tools.append({"messages": [asked, answer], "tools": offered})
    return {"words": words, "tools": tools}


def _score(server: Server, tmp_path: Path) -> list[list[float]]:
    found = score(
        server, items_of(TASKS, _rows()), Serving(max_num_seqs=4), tokenizer=tmp_path,
        scratch=tmp_path / "scratch", reporter=Silent(),
    )  # fmt: skip
    assert found.engine.startswith("lm-eval 0.4")
    assert [task.name for task in found.tasks] == ["words", "tools"]
    return [[answer.value for answer in task.answers] for task in found.tasks]


def test_every_item_is_scored_in_its_place(tmp_path: Path) -> None:
    """Words and tool calls are right where they are the rule's, item by item, in order."""
    with ruled(tmp_path) as server:
        assert _score(server, tmp_path) == [[0, 1, 0, 1, 0, 1]] * 2
    told = (tmp_path / "scratch/job.json").read_text() + (
        tmp_path / "scratch/result.json"
    ).read_text()
    assert KEY not in told


def test_a_server_that_went_away_is_worth_another_try(tmp_path: Path) -> None:
    """Requests that are not answered are an error that is retried, not wrong answers."""
    with ruled(tmp_path) as server:
        gone = Server(server.url, "m", SecretStr(KEY), tmp_path / "log", ENGINE)
    with gone, pytest.raises(ServingUnavailable, match="did not answer"):
        _score(gone, tmp_path)
