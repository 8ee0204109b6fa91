"""The control: the base with its weights rounded to nearest, measured like the candidate.

It has the candidate's layers, its scales of activations and its config, and differs in how weights
were rounded alone. So a candidate that is worse than its control was harmed by its tuning, whatever
the limits say. It is made from the two folders, so that a checkpoint made by anyone has one too.
"""

import shutil
from pathlib import Path

from tasks.core.digest import sha256_json
from tasks.core.jobs import run_job
from tasks.core.manifest import Frozen, StageRecord
from tasks.core.process import child_environment
from tasks.core.progress import Reporter
from tasks.core.recipe_validation import Validation
from tasks.core.settings import Settings
from tasks.core.workspace import Workspace
from tasks.validate import logprobs
from tasks.validate.baseline import Baseline
from tasks.validate.engine import WIDER
from tasks.validate.logprobs import TextLogprobs, measure
from tasks.validate.portion import Portion
from tasks.validate.serve import serve

WORKER, RESULTS, LOG = "tasks.validate.control_worker", "logprobs.safetensors", "vllm-control.log"
ROUNDING = "nearest, ties to even"


class Job(Frozen):
    """Round the base's weights where the candidate has packed ones; `output` is a new folder."""

    base: Path
    candidate: Path
    output: Path


class Result(Frozen):
    """How many layers were rounded."""

    modules: int


class ControlRecord(StageRecord):
    """The control's log-probabilities on the held-out texts; the checkpoint is not kept."""

    modules: int


def cached_control(
    workspace: Workspace,
    base: Path,
    candidate: Path,
    inputs: dict[str, str],
    *,
    known: Baseline,
    validation: Validation,
    settings: Settings,
    reporter: Reporter,
) -> list[TextLogprobs]:
    """The control's log-probabilities, measured if they are not there.

    Args:
        workspace: of the base.
        base: its folder.
        candidate: folder of the candidate.
        inputs: digests of base, candidate, held-out rows and engine.
        known: the base's measurements.
        validation: the recipe's choices.
        settings: name the serving environment.
        reporter: is told how far it is.

    Raises:
        ServingError: the control cannot be served.
        ServingUnavailable: the server went away.
    """
    inputs = inputs | {
        "texts": sha256_json([text.model_dump() for text in known.texts]),
        "serving": sha256_json(validation.serving.model_dump(mode="json")),
        "rounding": ROUNDING,
    }
    stage = f"control-{sha256_json(inputs)[:12]}"

    def make(folder: Path) -> dict[str, object]:
        scratch = workspace.scratch(stage).resolve()
        output = scratch / "checkpoint"
        shutil.rmtree(output, ignore_errors=True)
        reporter.update(0.0, "rounding the base's weights to nearest")
        made = run_job(
            WORKER,
            Job(base=base.resolve(), candidate=candidate.resolve(), output=output),
            Result,
            scratch=scratch,
            env=child_environment(),
        )
        with serve(
            output, name="control", serving=validation.serving, settings=settings,
            log=scratch / LOG, reporter=Portion(reporter, 0.2, 0.7),
        ) as server:  # fmt: skip
            results = measure(
                server,
                known.texts,
                validation.serving.logprobs * WIDER,
                validation.serving.max_num_seqs,
                Portion(reporter, 0.7, 1),
            )
        logprobs.save(folder / RESULTS, results)
        shutil.rmtree(output)
        return made.model_dump()

    record = workspace.run(stage, ControlRecord, inputs, make)
    return logprobs.load(workspace.here(record).path / RESULTS)
