"""Requests that a release must answer, through the client that its users have.

A strict canary expects the right answer, which any instruction-tuned model knows. Otherwise an
answer that ends in a valid way is enough: an untrained base knows nothing, yet its release must
still be served.
"""

import base64
import io
import json
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from openai import APIConnectionError, APIStatusError, DefaultHttpxClient, OpenAI, Stream
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from PIL import Image, ImageDraw

from tasks.core.progress import Reporter
from tasks.core.records import Check
from tasks.validate.server import TIMEOUT_SECONDS, Server

ENDINGS = ("stop", "length", "tool_calls")
STRICT_TOKENS, SOME_TOKENS = 256, 16
REFUSED = 400
SIDE = 224
ANSWER = "an answer that ends with one of " + ", ".join(ENDINGS)
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the current weather in a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}


@dataclass(frozen=True)
class Reply:
    """What the model said.

    Attributes:
        content: the answer.
        reasoning: the thought that the server's parser set apart from it.
        calls: tools it wants called: name and arguments, as JSON.
        ending: why it ended; None if it never did.
    """

    content: str
    reasoning: str
    calls: tuple[tuple[str, str], ...]
    ending: str | None

    def __str__(self) -> str:
        calls = " ".join(f"{name}({arguments})" for name, arguments in self.calls)
        parts = {"reasoning": self.reasoning, "calls": calls}
        told = [f"{what}: {text:.120}" for what, text in parts.items() if text]
        return "; ".join([f"{self.content:.120}", *told, f"ends with {self.ending}"])


@dataclass(frozen=True)
class Canary:
    """One request.

    Attributes:
        content: the user's message.
        right: whether a reply is the right one.
        required: what the right one is, for people.
        extra: further parts of the request.
    """

    content: Any
    right: Callable[[Reply], bool]
    required: str
    extra: dict[str, Any] = field(default_factory=dict)


def red_circle() -> str:
    """A red circle on a light ground, as the `data:` URL of a PNG."""
    image = Image.new("RGB", (SIDE, SIDE), (245, 245, 245))
    ImageDraw.Draw(image).ellipse([SIDE // 5] * 2 + [SIDE * 4 // 5] * 2, fill=(220, 30, 30))
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()


def _says(word: str) -> Callable[[Reply], bool]:
    return lambda reply: word in reply.content.lower()


def _calls_weather(reply: Reply) -> bool:
    if [name for name, _ in reply.calls] != ["get_weather"]:
        return False
    try:
        return bool(json.loads(reply.calls[0][1]) == {"city": "London"})
    except ValueError:
        return False


def _reasons(reply: Reply) -> bool:
    return bool(reply.reasoning) and "85" in reply.content


CHAT = Canary("What is the capital of Japan?", _says("tokyo"), "Tokyo")
IMAGE = Canary(
    [
        {"type": "image_url", "image_url": {"url": red_circle()}},
        {"type": "text", "text": "What color is this?"},
    ],
    _says("red"),
    "red",
)
TOOL_CALL = Canary(
    "What is the weather in London?",
    _calls_weather,
    "a call of get_weather with city London",
    {"tools": [TOOL]},
)
REASONING = Canary(
    "What is 47 + 38?",
    _reasons,
    "85, after a thought of its own",
    {"extra_body": {"chat_template_kwargs": {"enable_thinking": True}}},
)
CANARIES = {"chat": CHAT, "image": IMAGE, "tool_call": TOOL_CALL, "reasoning": REASONING}


class Aviary:
    """Sends canaries to a server and judges what comes back.

    Args:
        server: serves the candidate.
        strict: whether answers must be right.
    """

    def __init__(self, server: Server, *, strict: bool) -> None:
        self._server, self._strict = server, strict
        self._client = OpenAI(
            base_url=f"{server.url}/v1",
            api_key=server.key.get_secret_value(),
            max_retries=0,
            timeout=TIMEOUT_SECONDS,
            http_client=DefaultHttpxClient(trust_env=False),
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def answered(self, name: str, canary: Canary, *, stream: bool = False) -> Check:
        """Whether a canary is answered, and rightly where that is asked for.

        Raises:
            ServingUnavailable: the server went away.
        """
        required = canary.required if self._strict else ANSWER
        try:
            reply = self._ask(canary, stream=stream)
        except APIStatusError as error:
            return Check(name=name, passed=False, seen=_status(error), required=required)
        passed = reply.ending in ENDINGS and (not self._strict or canary.right(reply))
        return Check(name=name, passed=passed, seen=str(reply), required=required)

    def refused(self, name: str, canary: Canary) -> Check:
        """Whether a canary is refused as a bad request.

        Raises:
            ServingUnavailable: the server went away.
        """
        try:
            seen, passed = str(self._ask(canary)), False
        except APIStatusError as error:
            seen, passed = _status(error), error.status_code == REFUSED
        return Check(name=name, passed=passed, seen=seen, required=f"status {REFUSED}")

    def _ask(self, canary: Canary, *, stream: bool = False) -> Reply:
        try:
            answer = self._client.chat.completions.create(
                model=self._server.name,
                messages=[{"role": "user", "content": canary.content}],
                temperature=0,
                max_tokens=STRICT_TOKENS if self._strict else SOME_TOKENS,
                stream=stream,
                **canary.extra,
            )
            return _joined(answer) if isinstance(answer, Stream) else _whole(answer)
        except APIConnectionError as error:
            raise self._server.gone(error) from error


def _whole(answer: ChatCompletion) -> Reply:
    choice = answer.choices[0]
    message = choice.message
    calls = [call.function for call in message.tool_calls or [] if call.type == "function"]
    return Reply(
        content=message.content or "",
        reasoning=str((message.model_extra or {}).get("reasoning") or ""),
        calls=tuple((call.name, call.arguments) for call in calls),
        ending=choice.finish_reason,
    )


def _joined(chunks: Iterable[ChatCompletionChunk]) -> Reply:
    """What the pieces of a streamed answer add up to."""
    content, ending = "", None
    for piece in (chunk.choices[0] for chunk in chunks if chunk.choices):
        content += piece.delta.content or ""
        ending = piece.finish_reason or ending
    return Reply(content=content, reasoning="", calls=(), ending=ending)


def _status(error: APIStatusError) -> str:
    return f"status {error.status_code}: {error.message:.200}"


def check_canaries(
    server: Server, names: Sequence[str], reporter: Reporter, *, strict: bool
) -> list[Check]:
    """Send the recipe's canaries, and a stream, to a server that takes text and images.

    Raises:
        ServingUnavailable: the server went away.
    """
    checks = []
    with closing(Aviary(server, strict=strict)) as aviary:
        for number, name in enumerate(names):
            reporter.update(number / (len(names) + 1), f"canary: {name}")
            checks.append(aviary.answered(f"canary: {name}", CANARIES[name]))
        reporter.update(len(names) / (len(names) + 1), "canary: streaming")
        checks.append(aviary.answered("canary: streaming", CHAT, stream=True))
    return checks


def check_text_only(server: Server, *, strict: bool) -> list[Check]:
    """A server without images refuses one, and answers text thereafter.

    Raises:
        ServingUnavailable: the server went away.
    """
    with closing(Aviary(server, strict=strict)) as aviary:
        return [
            aviary.refused("text only: image refused", IMAGE),
            aviary.answered("text only: chat", CHAT),
        ]
