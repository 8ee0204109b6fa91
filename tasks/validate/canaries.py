"""Requests that a release must answer.

A strict canary expects the right answer, which any instruction-tuned model knows. Otherwise an
answer that ends in a valid way is enough: an untrained base knows nothing, yet its release must
still be served.
"""

import base64
import io
import json
from collections.abc import Callable, Sequence
from contextlib import closing

from PIL import Image, ImageDraw

from tasks.core.gate_records import Check
from tasks.core.progress import Reporter
from tasks.validate.aviary import Aviary, Canary, Reply
from tasks.validate.endings import check_endings
from tasks.validate.long_context import check_long_context
from tasks.validate.server import Server

SIDE = 224
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
TOOL_RESULT = Canary(
    TOOL_CALL.content,
    _says("foggy"),
    "an answer that tells the tool's result, foggy",
    TOOL_CALL.extra,
    after=(
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [
                {
                    "id": "call_1",
                    "type": "function",
                    "function": {"name": "get_weather", "arguments": '{"city": "London"}'},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "foggy"},
    ),
)
REASONING = Canary(
    "What is 47 + 38?",
    _reasons,
    "85, after a thought of its own",
    {"extra_body": {"chat_template_kwargs": {"enable_thinking": True}}},
)
CANARIES = {
    "chat": CHAT,
    "image": IMAGE,
    "tool_call": TOOL_CALL,
    "tool_result": TOOL_RESULT,
    "reasoning": REASONING,
}


def check_canaries(
    server: Server, names: Sequence[str], reporter: Reporter, *, strict: bool, context: int
) -> list[Check]:
    """Send the recipe's canaries, and a stream, to a server that takes text and images.

    Args:
        server: serves the candidate.
        names: of the recipe.
        reporter: is told how far it is.
        strict: whether answers must be right.
        context: tokens of context that the server keeps room for.

    Raises:
        ServingUnavailable: the server went away.
    """
    checks: list[Check] = []
    with closing(Aviary(server, strict=strict)) as aviary:
        for number, name in enumerate(names):
            reporter.update(number / (len(names) + 1), f"canary: {name}")
            if name == "long_context":
                checks.append(check_long_context(aviary, server, context))
            elif name == "stop":
                checks += check_endings(aviary)
            else:
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
