"""What fills a card's memory when it is fullest, by the place in the code that asked for it."""

from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

ENTRIES = 1_000_000
PLACES = 24
OURS = ("tasks/", "tests/bench/")
SKIPPED = ("torch/", "triton/")
FREED = "free_completed"


def fullest(function: Callable[[], Any]) -> dict[str, Any]:
    """Gigabytes at the fullest moment of a call: in all, before it, and by place.

    Returns:
        `before`, `peak`, and `places`: file and line to gigabytes, the largest first.
    """
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    memory: Any = torch.cuda.memory
    memory._record_memory_history(max_entries=ENTRIES, stacks="python")
    try:
        function()
        torch.cuda.synchronize()
        traces = memory._snapshot()["device_traces"]
    finally:
        memory._record_memory_history(enabled=None)
    events = max(traces, key=len)
    peak, held = _at_peak(events)
    places: Counter[str] = Counter()
    for event in held:
        places[_place(event["frames"])] += event["size"]
    return {
        "before": before / 1e9,
        "peak": (before + peak) / 1e9,
        "places": {place: round(size / 1e9, 3) for place, size in places.most_common(PLACES)},
    }


def _at_peak(events: list[dict[str, Any]]) -> tuple[int, list[dict[str, Any]]]:
    """The most bytes that the events ask for, and the allocations that are alive then."""
    alive: dict[int, dict[str, Any]] = {}
    sizes: dict[int, int] = defaultdict(int)
    total = most = 0
    held: list[dict[str, Any]] = []
    for event in events:
        at = event["addr"]
        if event["action"] == "alloc":
            alive[at] = event
            sizes[at] = event["size"]
            total += event["size"]
            if total > most:
                most, held = total, list(alive.values())
        elif event["action"] == FREED and at in alive:
            total -= sizes.pop(at)
            del alive[at]
    return most, held


def _place(frames: list[dict[str, Any]]) -> str:
    """The innermost line that is not torch's, and the innermost of ours if that is another."""
    lines = [frame for frame in frames if not any(s in frame["filename"] for s in SKIPPED)]
    ours = [frame for frame in lines if any(part in frame["filename"] for part in OURS)]
    chosen = list({id(each): each for each in (*lines[:1], *ours[:1])}.values())
    return " < ".join(f"{Path(f['filename']).name}:{f['line']} {f['name']}" for f in chosen)
