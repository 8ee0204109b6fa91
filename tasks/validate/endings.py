"""Canaries of the ways to end an answer: by the model, by a stop string, by the token limit.

One answer is taken first, and then asked for again in the two other ways. Decoding is greedy, so
each must be a beginning of the first; what it says does not matter.
"""

from openai import APIStatusError

from tasks.core.gate_records import Check
from tasks.validate.aviary import Aviary, Canary, Reply, status

LINE = Canary("Repeat these words: river stone gold", lambda reply: bool(reply.content), "words")
IDS = {"return_token_ids": True}
FEWEST_CHARACTERS, FEWEST_TOKENS = 4, 2
MARKERS = ("<turn|>", "<end_of_turn>", "<eos>", "<|im_end|>", "</s>")


def check_endings(aviary: Aviary) -> list[Check]:
    """Ask for one answer in three ways.

    Raises:
        ServingUnavailable: the server went away.
    """
    try:
        whole = aviary.ask(LINE, extra_body=IDS)
        content = whole.content
        checks = [_ends(whole)]
        if len(content) >= FEWEST_CHARACTERS and len(whole.tokens) > FEWEST_TOKENS:
            middle = content[len(content) // 2 :][:2]
            checks.append(_stops(aviary.ask(LINE, stop=[middle]), content, middle))
            checks.append(
                _is_cut(aviary.ask(LINE, max_tokens=FEWEST_TOKENS, extra_body=IDS), content)
            )
    except APIStatusError as error:
        return [Check(name="canary: stop", passed=False, seen=status(error), required="an answer")]
    return checks


def _ends(reply: Reply) -> Check:
    """By a token of its own that ends the turn, which does not show in the answer."""
    clean = not any(marker in reply.content for marker in MARKERS)
    own = reply.ending == "stop" and not isinstance(reply.stopped, str)
    return Check(
        name="canary: stop: end of turn",
        passed=own and clean and bool(reply.content),
        seen=str(reply),
        required="an answer that the model ends itself, with a token that does not show",
    )


def _stops(reply: Reply, whole: str, word: str) -> Check:
    before = whole[: whole.index(word)]
    passed = (reply.ending, reply.stopped, reply.content) == ("stop", word, before)
    return Check(
        name="canary: stop: stop string",
        passed=passed,
        seen=str(reply),
        required=f"{before!r}, ended by {word!r}",
    )


def _is_cut(reply: Reply, whole: str) -> Check:
    passed = reply.ending == "length" and len(reply.tokens) == FEWEST_TOKENS
    return Check(
        name="canary: stop: token limit",
        passed=passed and whole.startswith(reply.content),
        seen=f"{reply}, {len(reply.tokens)} tokens",
        required=f"{FEWEST_TOKENS} tokens of the same answer, ended with length",
    )
