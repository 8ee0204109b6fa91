"""The table of what `tests.bench.transfer` measured."""

import statistics
from typing import Any

NAMES = {"hub": ("Hub", "huggingface_hub"), "s3": ("S3", "boto3")}
HEADER = (
    "| to | bare client | bare s | ours s | bare MB/s | ours MB/s | ratio |\n"
    "|---|---|---|---|---|---|---|\n"
)


def table(measured: dict[str, Any]) -> str:
    """A row for Hub and S3 under a line that says on what, when, and how much was sent."""
    on, size = measured["machine"], measured["bytes"]
    rounds = len(measured["seconds"]["hub bare"])
    sent = f"{size / 1e9:g} GB a turn, medians of {rounds} turns"
    when = f"{on['device']}, {on['threads']} threads, {on['date']}, commit {on['commit']}; {sent}"
    return f"{when}\n\n{HEADER}{''.join(_row(place, measured) for place in NAMES)}"


def _row(place: str, measured: dict[str, Any]) -> str:
    name, client = NAMES[place]
    bare, ours = (statistics.median(measured["seconds"][f"{place} {s}"]) for s in ("bare", "ours"))
    speeds = " | ".join(f"{measured['bytes'] / seconds / 1e6:.0f}" for seconds in (bare, ours))
    ratio = measured[f"{place} ratio"]
    return f"| {name} | {client} | {bare:.2f} | {ours:.2f} | {speeds} | {ratio:.2f} |\n"
