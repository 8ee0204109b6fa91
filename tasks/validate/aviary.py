"""Sends a canary to a server, through the client that its users have, and reads the reply."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from openai import APIConnectionError, APIStatusError, DefaultHttpxClient, OpenAI, Stream
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from tasks.core.gate_records import Check
from tasks.validate.server import TIMEOUT_SECONDS, Server

ENDINGS = ("stop", "length", "tool_calls")
STRICT_TOKENS, SOME_TOKENS = 256, 16
REFUSED = 400
ANSWER = "an answer that ends with one of " + ", ".join(ENDINGS)


@dataclass(frozen=True)
class Reply:
    """What the model said.

    Attributes:
        content: the answer.
        reasoning: the thought that the server's parser set apart from it.
        calls: tools it wants called: name and arguments, as JSON.
        ending: why it ended; None if it never did.
        stopped: what stopped it: None for the model's own end of text, the id of another token
            that ends a turn, or a stop string.
        tokens: ids of the answer, the one that ends it among them; empty if not asked for.
    """

    content: str
    reasoning: str
    calls: tuple[tuple[str, str], ...]
    ending: str | None
    stopped: int | str | None = None
    tokens: tuple[int, ...] = ()

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
        after: messages that follow the user's, before the reply.
    """

    content: Any
    right: Callable[[Reply], bool]
    required: str
    extra: dict[str, Any] = field(default_factory=dict)
    after: tuple[Any, ...] = ()


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
            reply = self.ask(canary, stream=stream)
        except APIStatusError as error:
            return Check(name=name, passed=False, seen=status(error), required=required)
        return self.judged(name, canary, reply)

    def judged(self, name: str, canary: Canary, reply: Reply) -> Check:
        """Whether a reply ends in a valid way, and is right where that is asked for."""
        passed = reply.ending in ENDINGS and (not self._strict or canary.right(reply))
        required = canary.required if self._strict else ANSWER
        return Check(name=name, passed=passed, seen=str(reply), required=required)

    def refused(self, name: str, canary: Canary) -> Check:
        """Whether a canary is refused as a bad request.

        Raises:
            ServingUnavailable: the server went away.
        """
        try:
            seen, passed = str(self.ask(canary)), False
        except APIStatusError as error:
            seen, passed = status(error), error.status_code == REFUSED
        return Check(name=name, passed=passed, seen=seen, required=f"status {REFUSED}")

    def ask(self, canary: Canary, *, stream: bool = False, **settings: Any) -> Reply:
        """The reply to a canary.

        Raises:
            APIStatusError: the server refuses it.
            ServingUnavailable: the server went away.
        """
        most = STRICT_TOKENS if self._strict else SOME_TOKENS
        try:
            answer = self._client.chat.completions.create(
                model=self._server.name,
                messages=[{"role": "user", "content": canary.content}, *canary.after],
                temperature=0,
                stream=stream,
                **{"max_tokens": most} | canary.extra | settings,
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
        stopped=(choice.model_extra or {}).get("stop_reason"),
        tokens=tuple((choice.model_extra or {}).get("token_ids") or ()),
    )


def _joined(chunks: Iterable[ChatCompletionChunk]) -> Reply:
    """What the pieces of a streamed answer add up to."""
    content, ending = "", None
    for piece in (chunk.choices[0] for chunk in chunks if chunk.choices):
        content += piece.delta.content or ""
        ending = piece.finish_reason or ending
    return Reply(content=content, reasoning="", calls=(), ending=ending)


def status(error: APIStatusError) -> str:
    """A refusal in a few words."""
    return f"status {error.status_code}: {error.message:.200}"
