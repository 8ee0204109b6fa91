"""A planted regression through the real gate: refused, repaired, judged again.

    python -m tests.bench.repair FOLDER

One layer of an honest release of the demo base has its activations cut off. vLLM serves base and
candidate, the gate refuses it with `Damaged`, the repair stage keeps what harms, and the whole gate
judges what comes out. Prints the story as JSON; the report lies in FOLDER. Some minutes on two
cores; the recipe is the demo's with fewer texts and without floor and control.
"""

import sys
import time
from pathlib import Path

from tasks.core.digest import indented_json
from tasks.core.errors import Damaged
from tasks.core.gate_records import ValidateRecord
from tasks.core.recipe import load_recipe
from tasks.core.records import CalibrateRecord, ConvertRecord
from tasks.core.settings import Settings
from tasks.core.workspace import Workspace
from tasks.validate import validate
from tests.finished_stages import FACTS
from tests.repair.case import BUDGET, PLANTED, ROWS, Case, Said

ROOT = Path(__file__).parents[2]
SMALL = {
    "validation.heldout": {"files": str(ROWS)},
    "validation.texts": 40,
    "validation.most_texts": 80,
    "validation.tokens": 160,
    "validation.arms": [],
    "validation.second_engine": 0,
    "validation.tasks": [],
    "validation.repair": {"attempts": 1, "size_budget": BUDGET},
}


def main(folder: Path) -> int:
    """Run it; the exit status is 0 where the verdict after the repair is ACCEPT."""
    case = Case(folder, load_recipe("demo", SMALL))
    calibrate = Workspace.of_release(folder, case.plan.release_id).run(
        "calibrate", CalibrateRecord, {}, lambda _: FACTS["calibrate"]
    )
    settings = Settings(home=folder, serve_python=ROOT / ".venv/serve/bin/python")

    def judged(candidate: ConvertRecord) -> ValidateRecord:
        return validate.run(
            case.plan, case.download, calibrate, candidate, recipe=case.recipe, settings=settings,
            hub=case.hub, home=folder, reporter=Said(),
        )  # fmt: skip

    started = time.monotonic()
    try:
        judged(case.convert)
    except Damaged as refused:
        refusal = refused.found
    else:
        print("the planted regression was not seen", file=sys.stderr)  # noqa: T201
        return 1
    refused_after = time.monotonic() - started
    repaired = case.repair(refusal=refusal)
    repaired_after = time.monotonic() - started
    record = judged(repaired)
    told = {
        "planted": PLANTED,
        "repairs": [step.model_dump() for step in repaired.repairs],
        "verdict": record.verdict,
        "mean_kl": record.metrics and record.metrics.mean_kl,
        "kernel": record.kernel,
        "report": str(record.path / "report.html"),
        "seconds": {
            "refusal": round(refused_after),
            "repair": round(repaired_after - refused_after),
            "verdict": round(time.monotonic() - started - repaired_after),
        },
    }
    sys.stdout.write(indented_json(told))
    return 0 if record.verdict == "ACCEPT" else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
