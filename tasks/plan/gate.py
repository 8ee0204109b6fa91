"""What the gate takes: every model it serves, and what each is asked.

Served are the base, the base again (`floor`), the control and the candidate, which then starts once
more for text alone. Each start reads the weights; all four then take the texts of the whole budget,
at 2 FLOP a parameter and token. Items of tasks are answered by base and candidate, token after
token: each token reads the weights, for as many requests at once as the recipe serves. Plain
transformers takes its texts three times: base, weights and activations, weights alone.
"""

import math

from tasks.core.recipe_validation import Validation
from tasks.plan.speed import Speed

CANARIES = 60.0
LOADING = 60.0
"""Seconds for the second engine's child to start, and for the control's."""
SECOND_PASSES = 3
DISK = 400e6


def gate_seconds(
    base: int, release: int, parameters: int, validation: Validation, speed: Speed
) -> float:
    """Seconds from the first check to the verdict, with all texts that the budget allows.

    Args:
        base: bytes of the base's weights.
        release: bytes of the release's weights.
        parameters: of the whole model.
        validation: what is served and compared; nothing takes no time.
        speed: of the machine that serves.
    """
    if not validation.measures:
        return 0.0
    floor, control = (arm in validation.arms for arm in ("floor", "control"))
    bases, releases = 1 + floor, 2 + control
    starts = (bases + releases) * speed.server_start + (bases * base + releases * release) / DISK
    tokens = validation.budget * validation.tokens
    compared = (2 + floor + control) * 2 * parameters * tokens / speed.rate
    making = control * (LOADING + (base + release) / DISK)
    asked = CANARIES + _tasks(base, release, parameters, validation, speed)
    return (
        starts + compared + making + asked + _second(base, release, parameters, validation, speed)
    )


def _tasks(base: int, release: int, parameters: int, validation: Validation, speed: Speed) -> float:
    """Answers of at most `max_tokens` each; texts of a perplexity task are read, not written."""
    at_once, seconds = validation.serving.max_num_seqs, 0.0
    for task in validation.tasks:
        if task.kind == "perplexity":
            seconds += 2 * 2 * parameters * task.items * validation.tokens / speed.rate
        else:
            steps = math.ceil(task.items / at_once) * task.max_tokens
            seconds += steps * (base + release) / speed.bandwidth
    return seconds


def _second(
    base: int, release: int, parameters: int, validation: Validation, speed: Speed
) -> float:
    """Plain transformers: each pass reads its weights, and the release's are unpacked."""
    if not validation.second_engine:
        return 0.0
    tokens = validation.second_engine * validation.tokens
    reading = (base + 2 * release) / DISK
    return LOADING + reading + SECOND_PASSES * 2 * parameters * tokens / speed.rate
