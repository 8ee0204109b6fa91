"""The positions where two models differ most, as people can read them."""

from collections.abc import Sequence

import numpy as np

from tasks.validate.compare import Comparison
from tasks.validate.evidence import Context, Guess
from tasks.validate.logprobs import TextLogprobs
from tasks.validate.server import Server
from tasks.validate.tokens import HeldoutText

BEFORE = 24
"""Tokens that are shown before the position."""
GUESSES = 3


def worst_contexts(
    server: Server,
    texts: Sequence[HeldoutText],
    base: Sequence[TextLogprobs],
    candidate: Sequence[TextLogprobs],
    comparison: Comparison,
    count: int,
) -> tuple[Context, ...]:
    """The worst position of each of the `count` texts that have the worst ones.

    Args:
        server: turns token ids into text.
        texts: the held-out texts.
        base: what the base expects.
        candidate: what the candidate expects.
        comparison: of the two.
        count: how many positions.

    Raises:
        ServingUnavailable: the server went away.
    """
    peaks = [(float(kl.max()), number, int(kl.argmax())) for number, kl in enumerate(comparison.kl)]
    found: dict[tuple[int, ...], Context] = {}
    for kl, number, place in sorted(peaks, key=lambda peak: (-peak[0], peak[1])):
        ids, position = texts[number].ids, place + texts[number].start
        before = ids[max(0, position - BEFORE) : position]
        if len(found) == count:
            break
        if before in found:  # chats begin alike, and so do their worst positions
            continue
        found[before] = Context(
            text=number,
            position=position,
            kl=kl,
            before=_decoded(server, before),
            token=_decoded(server, ids[position : position + 1]),
            base=_guesses(server, base[number], place),
            candidate=_guesses(server, candidate[number], place),
        )
    return tuple(found.values())


def _guesses(server: Server, text: TextLogprobs, place: int) -> tuple[Guess, ...]:
    return tuple(
        Guess(token=_decoded(server, [int(token)]), probability=float(np.exp(logprob)))
        for token, logprob in zip(
            text.ids[place, :GUESSES], text.logprobs[place, :GUESSES], strict=True
        )
    )


def _decoded(server: Server, ids: Sequence[int]) -> str:
    told: str = server.post("/detokenize", tokens=list(ids))["prompt"]
    return told
