"""What a served model expects at each position of a text: its top-k log-probabilities.

`/v1/completions` with a prompt of token ids and `prompt_logprobs=k` answers, for each token after
the first, with the k likeliest ids and the token that stands there. Equal ids go to base and
candidate, so their answers compare position by position.

A chat with an image goes to `/v1/chat/completions`, which answers alike, and with the token ids
that it made of it.
"""

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from tasks.core.errors import ServingError
from tasks.core.progress import Reporter
from tasks.validate.server import Server
from tasks.validate.tokens import HeldoutText


@dataclass(frozen=True)
class TextLogprobs:
    """Log-probabilities for the n positions of a text after its first token.

    Attributes:
        tokens: int32 [n], the token that stands there.
        actual: float32 [n], its log-probability in nats.
        ids: int32 [n, k], the likeliest ids; the likeliest first, of equals the lower id.
        logprobs: float32 [n, k], their log-probabilities.
    """

    tokens: NDArray[np.int32]
    actual: NDArray[np.float32]
    ids: NDArray[np.int32]
    logprobs: NDArray[np.float32]

    def scored(self, start: int) -> "TextLogprobs":
        """Those of the token at place `start` of the text, and of all after it."""
        return TextLogprobs(*(values[start - 1 :] for values in vars(self).values()))


def measure(
    server: Server, texts: Sequence[HeldoutText], k: int, workers: int, reporter: Reporter
) -> list[TextLogprobs]:
    """Ask a server for the log-probabilities of all texts, from where each is scored.

    Args:
        server: serves base or candidate.
        texts: the held-out texts.
        k: how many ids a position; the server allows at most its `--max-logprobs`.
        workers: requests at once.
        reporter: is told how far it is.

    Raises:
        ServingUnavailable: the server went away.
    """
    with ThreadPoolExecutor(workers) as pool:
        try:
            results = []
            for text, result in zip(
                texts, pool.map(lambda text: _ask(server, text, k), texts), strict=True
            ):
                results.append(result.scored(text.start))
                reporter.update(
                    len(results) / len(texts),
                    f"log-probabilities of {server.name}: {len(results)} of {len(texts)} texts",
                )
            return results
        finally:
            pool.shutdown(cancel_futures=True)


def _ask(server: Server, text: HeldoutText, k: int) -> TextLogprobs:
    wanted = {"max_tokens": 1, "temperature": 0, "prompt_logprobs": k}
    if not text.chat:
        answer = server.post("/v1/completions", prompt=list(text.ids), **wanted)
        return parse(answer["choices"][0]["prompt_logprobs"], text.ids, k)
    chat = json.loads(text.chat)
    answer = server.post("/v1/chat/completions", **chat, **wanted, return_token_ids=True)
    if tuple(answer["prompt_token_ids"]) != text.ids:
        raise ServingError(
            f"{server.name} makes other token ids of a chat with an image than the base does",
            expected=f"{len(text.ids)} ids, as the base's tokenizer and chat template give them",
            found=f"{len(answer['prompt_token_ids'])} ids",
            remedy="give it the base's tokenizer, chat template and processor files",
        )
    return parse(answer["prompt_logprobs"], text.ids, k)


def parse(positions: Sequence[dict[str, Any] | None], text: Sequence[int], k: int) -> TextLogprobs:
    """Arrays from vLLM's answer: at each position after the first, k or k + 1 ids.

    The token that stands there is always among them; beyond k it is not one of the likeliest.

    Args:
        positions: id (as a string) to `{"logprob": …}`, or None for the first position.
        text: the token ids that were asked about.
        k: how many were asked for.
    """
    found = [_position(entry or {}, token, k) for entry, token in zip(positions, text, strict=True)]
    return TextLogprobs(
        tokens=np.asarray(text[1:], np.int32),
        actual=np.asarray([actual for actual, _ in found[1:]], np.float32),
        ids=np.asarray([[i for i, _ in top] for _, top in found[1:]], np.int32),
        logprobs=np.asarray([[lp for _, lp in top] for _, top in found[1:]], np.float32),
    )


def _position(entry: dict[str, Any], token: int, k: int) -> tuple[float, list[tuple[int, float]]]:
    known = {int(name): float(value["logprob"]) for name, value in entry.items()}
    actual = known.get(token, 0.0)
    if len(known) > k:
        del known[token]
    return actual, sorted(known.items(), key=lambda pair: (-pair[1], pair[0]))


def save(path: Path, results: Sequence[TextLogprobs]) -> None:
    """Write results to a safetensors file; float32 and int32 are kept bit for bit."""
    save_file(
        {
            f"{number:05d}.{name}": values
            for number, result in enumerate(results)
            for name, values in vars(result).items()
        },
        path,
    )


def load(path: Path) -> list[TextLogprobs]:
    """Read what `save` wrote."""
    arrays = load_file(path)
    numbers = sorted({name.partition(".")[0] for name in arrays})
    fields = ("tokens", "actual", "ids", "logprobs")
    return [TextLogprobs(*(arrays[f"{number}.{field}"] for field in fields)) for number in numbers]
