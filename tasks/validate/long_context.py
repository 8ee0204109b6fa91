"""The canary of a long context: a prompt that nearly fills it, and asks for one thing in it.

The answer has to speak of that thing and to end by itself. That it is right is not required: small
models that answer well do not find one note among a hundred.
"""

from openai import APIStatusError

from tasks.core.gate_records import Check
from tasks.validate.aviary import Aviary, Canary, Reply, status
from tasks.validate.server import Server

NAME = "canary: long context"
ROOM = 64
"""Tokens that are left for the answer."""
WORDS = (
    "sun", "moon", "star", "tree", "fish", "bird", "cat", "dog", "book", "door", "lamp", "road",
    "hill", "lake", "rain", "snow", "wind", "fire", "stone", "iron", "milk", "bread", "salt",
)  # fmt: skip
PLANTED, CODE = "gold", "748"


def prompt(notes: int) -> str:
    """So many notes, one of them planted in the middle, and the question for it."""
    lines = [
        f"The {WORDS[n % len(WORDS)]} code is {(37 * n + 11) % 700:03d}." for n in range(notes)
    ]
    lines.insert(notes // 2, f"The {PLANTED} code is {CODE}.")
    return f"{' '.join(lines)} What is the {PLANTED} code?"


def fitting(server: Server, most: int) -> tuple[str, int]:
    """The longest prompt of at most `most` tokens, and its tokens.

    Raises:
        ServingUnavailable: the server went away.
    """
    step = _tokens(server, prompt(20)) - _tokens(server, prompt(10))
    notes = max(1, 10 * most // step)
    while notes > 1 and _tokens(server, prompt(notes)) > most:
        notes -= max(1, notes // 50)
    text = prompt(notes)
    return text, _tokens(server, text)


def check_long_context(aviary: Aviary, server: Server, context: int) -> Check:
    """Whether a prompt that nearly fills the context is answered, and the answer ends by itself.

    Raises:
        ServingUnavailable: the server went away.
    """
    text, tokens = fitting(server, context - ROOM)
    required = f"an answer on the {PLANTED} code ({CODE}) after {tokens} tokens, ended by itself"
    canary = Canary(text, _answers, required)
    try:
        reply = aviary.ask(canary, max_tokens=ROOM - 8)
    except APIStatusError as error:
        return Check(name=NAME, passed=False, seen=status(error), required=canary.required)
    return aviary.judged(NAME, canary, reply)


def _answers(reply: Reply) -> bool:
    said = reply.content.lower()
    return reply.ending == "stop" and (PLANTED in said or CODE in said)


def _tokens(server: Server, text: str) -> int:
    messages = [{"role": "user", "content": text}]
    found: list[int] = server.post("/tokenize", messages=messages, add_generation_prompt=True)[
        "tokens"
    ]
    return len(found)
