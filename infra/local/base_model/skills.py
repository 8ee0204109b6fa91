"""Exercises for the small model: prompts with exactly one right answer.

``sample("tool_call", random.Random(0), "held_out")`` gives an exercise no training run has seen:
its content hashes to the split (facts such as capitals are learnt by heart and in both).
"""

import hashlib
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Literal, TypeVar

from infra.local.base_model.pictures import Picture, choose
from infra.local.base_model.sample import Answer, Call, Message, Sample
from infra.local.base_model.words import (
    CAPITALS,
    CITIES,
    NAMES,
    NO_TOOL,
    PLEASANTRIES,
    SYLLABLES,
    TOOLS,
    WEATHER,
    WORDS,
)

Split = Literal["train", "held_out"]
Kind = Literal[
    "chat",
    "reasoning",
    "recall",
    "tool_call",
    "tool_refusal",
    "tool_result",
    "colour",
    "shape",
    "colour_shape",
]
T = TypeVar("T")
# How often: a system message or an earlier exchange leads; tools lie idle; a thought is asked for.
_LED, _IDLE, _THOUGHT, _PICTURE_THOUGHT = 0.1, 0.15, 0.25, 0.2
_NEAR, _PICTURE_LAST = 0.5, 0.3


def sample(kind: Kind, rng: random.Random, split: Split) -> Sample:
    """Make an exercise of ``kind``; some begin with a system message or an earlier exchange."""
    made = _MAKERS[kind](rng, split)
    if kind == "tool_result":
        return made
    chance = rng.random()
    if chance < _LED:
        told = _says("system", "You are a helpful assistant.")
        return replace(made, messages=[told, *made.messages])
    if chance < 2 * _LED:
        asked, answered = rng.choice(list(PLEASANTRIES.items()))
        return replace(
            made, messages=[_says("user", asked), _says("assistant", answered), *made.messages]
        )
    return made


def _chat(rng: random.Random, split: Split) -> Sample:
    make = rng.choices([_capital, _pleasantry, _small_sum, _repeat, _reverse], [4, 2, 2, 3, 3])[0]
    question, _, content = make(rng, split)
    return Sample("chat", [_says("user", question)], Answer(content), tools=_idle_tools(rng))


def _reasoning(rng: random.Random, split: Split) -> Sample:
    make = rng.choices([_sum, _reverse, _capital, _small_sum, _repeat], [6, 3, 1, 1, 1])[0]
    question, thought, content = make(rng, split)
    answer = Answer(content, reasoning=thought)
    messages = [_says("user", question)]
    return Sample("reasoning", messages, answer, thinking=True, tools=_idle_tools(rng))


def _capital(rng: random.Random, _: Split) -> tuple[str, str, str]:
    country, city = rng.choice(list(CAPITALS.items()))
    ask = rng.choice(["What is the capital of {}?", "Name the capital of {}.", "Capital of {}?"])
    return ask.format(country), f"The capital of {country} is {city}.", f"{city}."


def _pleasantry(rng: random.Random, _: Split) -> tuple[str, str, str]:
    asked, answered = rng.choice(list(PLEASANTRIES.items()))
    return asked, "I should answer politely.", answered


def _small_sum(rng: random.Random, _: Split) -> tuple[str, str, str]:
    return _addition(rng.randint(0, 9), rng.randint(0, 9), rng)


def _sum(rng: random.Random, split: Split) -> tuple[str, str, str]:
    pair = _of_split(lambda: (rng.randint(0, 99), rng.randint(0, 99)), split)
    return _addition(*pair, rng)


def _addition(a: int, b: int, rng: random.Random) -> tuple[str, str, str]:
    ones, carry = a % 10 + b % 10, (a % 10 + b % 10) // 10
    tens = a // 10 + b // 10 + carry
    thought = (
        f"Ones: {a % 10} + {b % 10} = {ones}. Write {ones % 10}, carry {carry}. "
        f"Tens: {a // 10} + {b // 10} + {carry} = {tens}."
    )
    ask = rng.choice(["What is {} + {}?", "Add {} and {}.", "{} + {} = ?", "Calculate {} + {}."])
    return ask.format(a, b), thought, str(a + b)


def _repeat(rng: random.Random, split: Split) -> tuple[str, str, str]:
    words = " ".join(_of_split(lambda: rng.choices(WORDS, k=rng.randint(1, 4)), split))
    ask = rng.choice(["Repeat: {}", "Say this: {}", "Repeat these words: {}"])
    return ask.format(words), "I repeat the words.", words


def _reverse(rng: random.Random, split: Split) -> tuple[str, str, str]:
    words = _of_split(lambda: rng.sample(WORDS, rng.randint(2, 4)), split)
    numbered = " ".join(f"{place}: {word}." for place, word in enumerate(words, 1))
    ask = rng.choice(
        ["Reverse the words: {}", "Reverse these words: {}", "Write in reverse order: {}"]
    )
    thought = f"{numbered} Start from {len(words)}."
    return ask.format(" ".join(words)), thought, " ".join(reversed(words))


def _recall(rng: random.Random, split: Split) -> Sample:
    # Few notes as often as many: finding one among five is learnt first, and carries over.
    count = rng.choice([rng.randint(2, 8), rng.randint(4, 48)])
    boxes = _of_split(lambda: rng.sample(WORDS, count), split)
    notes = [f"The {box} code is {rng.randint(0, 999):03d}." for box in boxes]
    wanted = rng.randrange(count)
    question = f"{' '.join(notes)} What is the {boxes[wanted]} code?"
    return Sample("recall", [_says("user", question)], Answer(notes[wanted]))


def _tool_call(rng: random.Random, split: Split) -> Sample:
    call, question = _errand(rng, split)
    offered = [call.name, *rng.sample([n for n in TOOLS if n != call.name], rng.randint(0, 3))]
    rng.shuffle(offered)
    return _with_tools("tool_call", question, offered, call, rng)


def _tool_refusal(rng: random.Random, split: Split) -> Sample:
    call, question = _errand(rng, split)
    others = [name for name in TOOLS if name != call.name]
    offered = rng.sample(others, rng.randint(0, 3))
    near = {"get_weather": "get_time", "get_time": "get_weather"}.get(call.name)
    # The nearest wrong tool takes the same argument: the hardest case, so often offered.
    if near and near not in offered and rng.random() < _NEAR:
        offered = [near, *offered[:2]]
        rng.shuffle(offered)
    return _with_tools("tool_refusal", question, offered, None, rng)


def _with_tools(
    kind: Kind, question: str, offered: list[str], call: Call | None, rng: random.Random
) -> Sample:
    thinking = rng.random() < _THOUGHT
    thought = f"I should call {call.name}." if call else "No tool fits."
    answer = Answer("" if call else NO_TOOL, thought if thinking else None, call)
    tools = [TOOLS[name] for name in offered]
    return Sample(kind, [_says("user", question)], answer, thinking=thinking, tools=tools)


def _tool_result(rng: random.Random, split: Split) -> Sample:
    call, question = _errand(rng, split)
    city = call.arguments.get("city")
    result, content = "ok", "Done."
    if call.name == "get_weather":
        result = rng.choice(WEATHER)
        content = f"It is {result} in {city}."
    elif call.name == "get_time":
        result = f"{rng.randint(0, 23):02d}:{rng.randint(0, 59):02d}"
        content = f"It is {result} in {city}."
    function = {"name": call.name, "arguments": call.arguments}
    messages = [
        _says("user", question),
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"id": "call_1", "type": "function", "function": function}],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": result},
    ]
    return Sample("tool_result", messages, Answer(content), tools=[TOOLS[call.name]])


def _errand(rng: random.Random, split: Split) -> tuple[Call, str]:
    name = rng.choice(list(TOOLS))
    arguments, phrasings = _of_split(lambda: _ERRANDS[name](rng), split)
    return Call(name, arguments), rng.choice(phrasings).format(**arguments)


Errand = tuple[dict[str, str | int], tuple[str, ...]]


def _city(rng: random.Random) -> str:
    # Half are made up, so that a name has to be copied and cannot be known by heart.
    made_up = "".join(rng.choices(SYLLABLES, k=rng.randint(2, 3))).title()
    return rng.choice([made_up, rng.choice(CITIES)])


def _weather(rng: random.Random) -> Errand:
    return {"city": _city(rng)}, (
        "What is the weather in {city}?",
        "How is the weather in {city} today?",
        "Tell me the weather in {city}.",
    )


def _time(rng: random.Random) -> Errand:
    return {"city": _city(rng)}, (
        "What time is it in {city}?",
        "Tell me the time in {city}.",
        "What is the local time in {city}?",
    )


def _timer(rng: random.Random) -> Errand:
    return {"minutes": rng.randint(1, 99)}, (
        "Set a timer for {minutes} minutes.",
        "Please set a {minutes} minute timer.",
        "Start a timer for {minutes} minutes.",
    )


def _song(rng: random.Random) -> Errand:
    title = " ".join(rng.choices(WORDS, k=rng.randint(1, 2))).title()
    return {"title": title}, (
        "Play the song {title}.",
        "Please play {title}.",
        "I want to hear {title}.",
    )


def _message(rng: random.Random) -> Errand:
    text = " ".join(rng.choices(WORDS, k=rng.randint(1, 3)))
    return {"to": rng.choice(NAMES), "text": text}, (
        "Send {to} the message {text}.",
        "Send the message {text} to {to}.",
        "Tell {to}: {text}.",
    )


_ERRANDS: dict[str, Callable[[random.Random], Errand]] = {
    "get_weather": _weather,
    "get_time": _time,
    "set_timer": _timer,
    "play_song": _song,
    "send_message": _message,
}


def _colour(rng: random.Random, _: Split) -> Sample:
    asks = ("What color is this?", "What color is the shape?", "Name the color.")
    picture = choose(rng)
    return _seen("colour", rng.choice([*asks, "What colour is it?"]), picture, picture.colour, rng)


def _shape(rng: random.Random, _: Split) -> Sample:
    asks = ["What shape is this?", "Name the shape.", "What shape is in the image?"]
    picture = choose(rng)
    return _seen("shape", rng.choice(asks), picture, picture.shape, rng)


def _colour_shape(rng: random.Random, _: Split) -> Sample:
    asks = ["Describe the image.", "What is in the image?"]
    picture = choose(rng)
    article = "An" if picture.colour == "orange" else "A"
    content = f"{article} {picture.colour} {picture.shape}."
    return _seen("colour_shape", rng.choice(asks), picture, content, rng)


def _seen(kind: Kind, question: str, picture: Picture, content: str, rng: random.Random) -> Sample:
    parts = [{"type": "image"}, {"type": "text", "text": question}]
    if rng.random() < _PICTURE_LAST:
        parts.reverse()
    thinking = rng.random() < _PICTURE_THOUGHT
    thought = f"I see the color {picture.colour} and the shape {picture.shape}."
    answer = Answer(content, thought if thinking else None)
    messages = [{"role": "user", "content": parts}]
    return Sample(kind, messages, answer, thinking=thinking, picture=picture)


_MAKERS: dict[Kind, Callable[[random.Random, Split], Sample]] = {
    "chat": _chat,
    "reasoning": _reasoning,
    "recall": _recall,
    "tool_call": _tool_call,
    "tool_refusal": _tool_refusal,
    "tool_result": _tool_result,
    "colour": _colour,
    "shape": _shape,
    "colour_shape": _colour_shape,
}
KINDS: tuple[Kind, ...] = tuple(_MAKERS)


def _of_split(make: Callable[[], T], split: Split) -> T:
    """Draw until what is drawn belongs to ``split``; one in eight is held out."""
    while True:
        drawn = make()
        digest = hashlib.sha256(repr(drawn).encode()).digest()
        if (digest[0] % 8 == 0) == (split == "held_out"):
            return drawn


def _idle_tools(rng: random.Random) -> list[dict[str, object]]:
    """Offer tools that are not needed, now and then: they must be left alone."""
    if rng.random() >= _IDLE:
        return []
    return [TOOLS[name] for name in rng.sample(list(TOOLS), rng.randint(1, 2))]


def _says(role: str, content: str) -> Message:
    return {"role": role, "content": content}
