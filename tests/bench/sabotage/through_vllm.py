"""The gate as a release meets it: static checks, servers, canaries, distributions, tasks.

The base is measured once for all kinds. What was judged is kept by the digests of base, candidate,
recipe and held-out rows and by the engine, so it is not judged again.
"""

from pathlib import Path
from typing import Any

from tasks.core.digest import sha256_file, sha256_json
from tasks.core.errors import ServingError
from tasks.core.manifest import relative_files
from tasks.core.settings import Settings
from tasks.core.workspace import BASES, Workspace
from tasks.validate.assess import Subject, assess
from tasks.validate.canaries import check_canaries
from tasks.validate.engine import find_engine
from tasks.validate.evidence import Evidence
from tasks.validate.gate import Folders
from tasks.validate.serve import serve
from tests.bench import demo
from tests.bench.machine import machine
from tests.bench.sabotage.says import Says
from tests.bench.sabotage.served import Canaries, Judged
from tests.fake_release import RECIPE

HELDOUT, GATE = "validation.heldout", RECIPE.validation


class ThroughVllm:
    """The gate with its servers.

    Args:
        folder: keeps what was judged, with its reports, what was measured of the base, and logs.
        base: folder of the base.
    """

    def __init__(self, folder: Path, base: Path) -> None:
        self._base, self._settings = base, Settings(home=folder)
        self._kept, self._bases = (Workspace(folder, place) for place in ("judged", BASES))
        for workspace in (self._kept, self._bases):
            workspace.root.mkdir(parents=True, exist_ok=True)
        sources = demo.sources()
        self._rows = {place: [_shown(row) for row in rows] for place, rows in sources.items()}
        self._inputs = {
            "base": _digest(base),
            "heldout": sha256_json(sources[HELDOUT]),
            "recipe": sha256_json(RECIPE.model_dump(mode="json")),
            "engine": str(find_engine(self._settings.serve_python)),
        }

    def judged(self, kind: str, candidate: Path) -> Judged:
        """What the whole gate says of a candidate.

        Raises:
            ServingUnavailable: a server went away.
        """
        inputs = self._inputs | {"candidate": _digest(candidate)}

        def make(folder: Path) -> dict[str, object]:
            evidence = self._assess(kind, candidate, folder, inputs)
            return {
                "verdict": evidence.verdict,
                "failed": [*(check.name for check in evidence.failed), *_names(evidence, "fails")],
                "undecided": _names(evidence, "undecided"),
                "parts": evidence.seconds,
                "kernel": evidence.kernel,
                "machine": machine(),
            }

        return self._kept.run(_place(kind), Judged, inputs, make)

    def canaries(self, kind: str, candidate: Path) -> Canaries:
        """What canaries say of a candidate that nothing else is asked of.

        Raises:
            ServingUnavailable: the server went away.
        """
        stage = f"{_place(kind)}-canaries"

        def make(_: Path) -> dict[str, object]:
            said = Says(kind)
            try:
                with serve(
                    candidate, name="candidate", serving=GATE.serving, settings=self._settings,
                    log=self._kept.scratch(stage) / "vllm.log", reporter=said,
                ) as server:  # fmt: skip
                    checks = check_canaries(
                        server, GATE.canaries, said,
                        strict=GATE.strict_canaries, context=GATE.serving.max_model_len,
                    )  # fmt: skip
            except ServingError as error:
                return {"failed": (), "unserved": error.found or error.what}
            return {"failed": [check.name for check in checks if not check.passed]}

        inputs = self._inputs | {"candidate": _digest(candidate)}
        return self._kept.run(stage, Canaries, inputs, make)

    def _assess(
        self, kind: str, candidate: Path, folder: Path, digests: dict[str, str]
    ) -> Evidence:
        logs = self._kept.scratch(_place(kind))
        return assess(
            Subject(
                base=digests["base"],
                candidate=digests["candidate"],
                heldout=digests["heldout"],
                names=("the demo's base", kind),
            ),
            Folders(base=self._base, candidate=candidate, evidence=folder, logs=logs),
            bases=self._bases,
            rows=lambda: self._rows[HELDOUT],
            task_rows=lambda: {task.name: self._rows[task.place] for task in GATE.tasks},
            recipe=RECIPE,
            settings=self._settings,
            reporter=Says(kind),
        )


def _names(evidence: Evidence, decision: str) -> list[str]:
    return [measure.name for measure in evidence.open if measure.decision == decision]


def _place(kind: str) -> str:
    """A kind as a folder's name."""
    return "-".join("".join(c if c.isalnum() else " " for c in kind).split())


def _digest(folder: Path) -> str:
    return sha256_json({name: sha256_file(folder / name) for name in relative_files(folder)})


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    """A row whose picture is a path, as the gate reads it."""
    return row | {"image": Path(row["image"])} if "image" in row else row
