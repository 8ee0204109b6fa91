"""Judges one candidate of each kind as a release is judged, by the whole gate with vLLM.

The gate serves nothing once the files speak against a candidate. What it refuses by its files alone
is served afterwards for the canaries, so that it is known whether they would have seen it too.
"""

from collections.abc import Sequence
from pathlib import Path

from tests.bench.sabotage.candidates import Candidates
from tests.bench.sabotage.says import say
from tests.bench.sabotage.served import row
from tests.bench.sabotage.table import join
from tests.bench.sabotage.through_vllm import ThroughVllm

SEED = 0


def run(folder: Path, kinds: Sequence[str], *, page: bool) -> None:
    """Judge the first seed's candidate of each kind, and say what came of it.

    Args:
        folder: keeps what was judged; a run that was cut goes on where it was.
        kinds: their names.
        page: whether each row joins the docs' table.
    """
    candidates = Candidates(folder)
    gate = ThroughVllm(folder / "vllm", candidates.base)
    for kind in kinds:
        candidate = candidates.make(kind, SEED)
        judged = gate.judged(kind, candidate)
        alone = None if judged.kernel else gate.canaries(kind, candidate)
        told = row(judged, alone)
        if page:
            join({kind: {"vllm": told}})
        say(
            kind,
            f"{judged.verdict} after {told['seconds']:.0f} s; "
            f"failed: {', '.join(judged.failed) or 'nothing'}; "
            f"canaries, {told['served']}: {told['unserved'] or told['canaries'] or 'all hold'}",
        )
