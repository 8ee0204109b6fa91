"""What is kept of a kind that was judged through vLLM, and its row of the table."""

from typing import Any

from tasks.core.gate_records import Verdict
from tasks.core.manifest import StageRecord


class Judged(StageRecord):
    """What the whole gate said; `evidence.json` and `report.html` are its files.

    Attributes:
        verdict: the gate's.
        failed: names of checks and measures that failed.
        undecided: names of measures that are left open.
        parts: seconds of each part of the gate; what was measured before took none.
        kernel: the NVFP4 kernel that ran; empty where the files were refused and nothing served.
        machine: what it was judged on.
    """

    verdict: Verdict
    failed: tuple[str, ...]
    undecided: tuple[str, ...]
    parts: dict[str, float]
    kernel: str
    machine: dict[str, str]


class Canaries(StageRecord):
    """What canaries said of a candidate whose files had been refused.

    Attributes:
        failed: names of those that failed.
        unserved: why vLLM does not serve it; empty where it does.
    """

    failed: tuple[str, ...]
    unserved: str = ""


def row(judged: Judged, alone: Canaries | None) -> dict[str, Any]:
    """One kind's row, as JSON.

    Args:
        judged: what the gate said.
        alone: what canaries said afterwards; None where the gate itself sent them.
    """
    canaries = judged.failed if alone is None else alone.failed
    return {
        "verdict": judged.verdict,
        "failed": judged.failed,
        "undecided": judged.undecided,
        "canaries": [name for name in canaries if name.startswith("canary: ")],
        "served": "by the gate" if alone is None else "afterwards",
        "unserved": alone.unserved if alone else "",
        "seconds": round(sum(s for part, s in judged.parts.items() if part != "base"), 1),
        "base_seconds": judged.parts.get("base", 0.0),
        "kernel": judged.kernel,
        "engine": judged.inputs["engine"],
        "candidate": judged.inputs["candidate"],
        "machine": judged.machine,
    }
