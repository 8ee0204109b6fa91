"""The runs over sabotaged candidates: what they count and keep, and what the docs show of it."""

from pathlib import Path

from tests.bench.sabotage.candidates import Candidates
from tests.bench.sabotage.kinds import KINDS
from tests.bench.sabotage.served import Canaries, Judged, row
from tests.bench.sabotage.table import (
    PAGE,
    PLACE,
    SERVED_PLACE,
    counted,
    kept_rows,
    seeds_table,
    served_table,
)
from tests.bench.sabotage.through_vllm import ThroughVllm

MACHINE = {"device": "a processor", "threads": "2", "commit": "0123", "date": "2026-01-31"}
KIND = "tool-call format broken"


def _judged(*failed: str, kernel: str = "") -> Judged:
    return Judged(
        stage="kind", folder="", files=(), inputs={"engine": "vllm 1", "candidate": "ab"},
        seconds=99, verdict="REGRESSION", failed=failed, undecided=("flips",),
        parts={"base": 60, "static checks": 1.5, "candidate": 40}, kernel=kernel, machine=MACHINE,
    )  # fmt: skip


def test_the_page_shows_what_is_kept() -> None:
    """Both tables of the docs are those that the kept measurements make, of known kinds alone."""
    kept, page = kept_rows(), PAGE.read_text()
    assert set(kept) <= set(KINDS)
    assert f"<!-- {PLACE} -->\n{seeds_table(kept)}<!-- /" in page
    assert f"<!-- {SERVED_PLACE} -->\n{served_table(kept)}<!-- /" in page


def test_verdicts_that_decide_nothing_count_for_neither_side() -> None:
    """Whatever is neither accepted nor refused is undecided."""
    said = ["ACCEPT (KL 0.1)", "REGRESSION (flips)", "INCONCLUSIVE (flips)", "INFEASIBLE (flips)"]
    found = counted(said, MACHINE)
    assert [found[name] for name in ("accepted", "refused", "undecided")] == [1, 1, 2]


def test_canaries_in_brackets_were_asked_behind_the_gate() -> None:
    """A row tells what failed, how long it took without the base, and who asked the canaries."""
    served = row(_judged("canary: chat", "mean KL", "top-1", kernel="Emulation"), None)
    alone = row(_judged("files.base"), Canaries(**_stage(), failed=("canary: tool_call",)))
    broken = row(_judged("files.base"), Canaries(**_stage(), failed=(), unserved="KeyError: x"))
    table = served_table({str(n): {"vllm": it} for n, it in enumerate((served, alone, broken))})
    assert "| REGRESSION | canary: chat, mean KL and 2 more | chat | 42 | 0123 |" in table
    assert "| files.base, flips undecided | (tool_call) | 42 |" in table
    assert "| (vLLM does not load it) | 42 |" in table


def _stage() -> dict[str, object]:
    return {"stage": "canaries", "folder": "", "files": (), "inputs": {}, "seconds": 1}


def test_a_judgement_is_read_back(tmp_path: Path) -> None:
    """The real gate refuses a broken template by its files; the second time nothing is judged."""
    candidates = Candidates(tmp_path)
    candidate = candidates.make(KIND, 0)
    first, again = (
        ThroughVllm(tmp_path / "vllm", candidates.base).judged(KIND, candidate) for _ in range(2)
    )
    assert (first.verdict, first.kernel) == ("REGRESSION", "")
    assert "files.base" in first.failed
    assert again == first
    assert (first.path / "report.html").is_file()
