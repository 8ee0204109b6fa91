"""One exercise: a conversation and the one right answer to it."""

from dataclasses import dataclass, field
from typing import Any

from infra.local.base_model.pictures import Picture

Message = dict[str, Any]


@dataclass(frozen=True)
class Call:
    """A call of a tool."""

    name: str
    arguments: dict[str, str | int]

    def text(self) -> str:
        """Write the call as Gemma 4 does, arguments in the order of their names."""
        pairs = (f"{key}:{_value(value)}" for key, value in sorted(self.arguments.items()))
        # The model stops at <|tool_response>, where the tool's own words would follow.
        return f"<|tool_call>call:{self.name}{{{','.join(pairs)}}}<tool_call|><|tool_response>"


@dataclass(frozen=True)
class Answer:
    """What the assistant must say: a thought if it was asked to think, then words or a call."""

    content: str = ""
    reasoning: str | None = None
    call: Call | None = None

    def text(self) -> str:
        """Write the answer as Gemma 4 does, with its end token."""
        thought = f"<|channel>thought\n{self.reasoning}\n<channel|>" if self.reasoning else ""
        return thought + (self.call.text() if self.call else f"{self.content}<turn|>")


@dataclass(frozen=True)
class Sample:
    """An exercise in the Chat Completions form; an image part has no ``picture`` bytes yet."""

    kind: str
    messages: list[Message]
    answer: Answer
    thinking: bool = False
    tools: list[dict[str, Any]] = field(default_factory=list)
    picture: Picture | None = None


def _value(value: str | int) -> str:
    return f'<|"|>{value}<|"|>' if isinstance(value, str) else str(value)
