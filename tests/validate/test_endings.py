"""Canaries of endings and of a long context, against servers that keep the protocol or break it."""

import json
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from tasks.validate.aviary import Aviary
from tasks.validate.endings import check_endings
from tasks.validate.engine import Engine
from tasks.validate.long_context import ROOM, check_long_context, fitting
from tasks.validate.server import Server

WORDS = ("river", " stone", " gold")
END = 106
STOP, LIMIT, TURN = "stop string", "token limit", "end of turn"


class Model(BaseHTTPRequestHandler):
    """A model of a token a word, broken in the way that its class names."""

    broken = ""

    def do_POST(self) -> None:
        """Answer a chat, or count the words of one."""
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        text = asked["messages"][-1]["content"]
        if self.path == "/tokenize":
            return self._send({"tokens": list(range(len(text.split()) + 5))})
        return self._send({"choices": [self._choice(asked)], "model": "m", "object": "x"})

    def _choice(self, asked: dict[str, Any]) -> dict[str, Any]:
        words = WORDS + (("<turn|>",) if self.broken == "marker" else ())
        tokens, ending = [*range(len(words)), END], "stop"
        stopped: int | str | None = END
        if self.broken == "endless":
            tokens, ending = list(range(len(words))), "length"
        if asked["max_tokens"] < len(words) and self.broken != LIMIT:
            words, ending, stopped = words[: asked["max_tokens"]], "length", None
            tokens = list(range(len(words)))
        content = "".join(words)
        for word in asked.get("stop") or []:
            if self.broken != STOP and word in content:
                content, ending, stopped = content[: content.index(word)], "stop", word
        return {
            "index": 0,
            "finish_reason": ending,
            "stop_reason": stopped,
            "token_ids": tokens,
            "message": {"role": "assistant", "content": content},
        }

    def _send(self, answer: dict[str, Any]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(answer | {"id": "1", "created": 0}).encode())

    def log_message(self, *_: object) -> None:
        """Nothing on the test's output."""


@contextmanager
def served(broken: str) -> Iterator[Server]:
    handler = type("Broken", (Model,), {"broken": broken})
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    engine = Engine(python=Path("python"), package="vllm", version="0")
    url = f"http://127.0.0.1:{httpd.server_port}"
    try:
        with Server(url, "m", SecretStr("key"), Path("log"), engine) as server:
            yield server
    finally:
        httpd.shutdown()
        httpd.server_close()


@pytest.mark.parametrize(
    ("broken", "caught"),
    [("", []), (STOP, [STOP]), (LIMIT, [LIMIT]), ("marker", [TURN]), ("endless", [TURN])],
)
def test_each_broken_ending_is_caught(broken: str, caught: list[str]) -> None:
    """A model that keeps the protocol passes; one that breaks it in one way fails for that one."""
    with served(broken) as server, closing(Aviary(server, strict=True)) as aviary:
        checks = check_endings(aviary)
    assert [check.name for check in checks] == [f"canary: stop: {n}" for n in (TURN, STOP, LIMIT)]
    failed = [check.name.removeprefix("canary: stop: ") for check in checks if not check.passed]
    assert failed == caught


@pytest.mark.parametrize("context", [256, 4096])
def test_a_long_prompt_fills_the_context(context: int) -> None:
    """It leaves room for the answer, and wastes no more than a tenth."""
    with served("") as server:
        text, tokens = fitting(server, context - ROOM)
    assert 0.9 * (context - ROOM) <= tokens <= context - ROOM
    assert text.count("The gold code is 748.") == 1


@pytest.mark.parametrize(("broken", "passed"), [("", True), ("endless", False)])
def test_a_long_prompt_must_be_answered(broken: str, *, passed: bool) -> None:
    """An answer on the matter that ends by itself passes; one that does not end fails."""
    with served(broken) as server, closing(Aviary(server, strict=True)) as aviary:
        assert check_long_context(aviary, server, 512).passed is passed
