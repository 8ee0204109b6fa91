"""What the base expects of the held-out texts, measured once for all its releases.

With the arm `floor` the same server is asked twice: what then differs is the engine's own noise,
below which no difference of a candidate's means anything.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from tasks.core.digest import sha256_json
from tasks.core.manifest import StageRecord
from tasks.core.progress import Reporter
from tasks.core.recipe_validation import Validation
from tasks.core.settings import Settings
from tasks.core.workspace import Workspace
from tasks.validate import logprobs
from tasks.validate.engine import find_engine
from tasks.validate.logprobs import TextLogprobs, measure
from tasks.validate.portion import Portion
from tasks.validate.scores.items import TaskItems
from tasks.validate.scores.run import Scores, read_scores, score, write_scores
from tasks.validate.serve import serve
from tasks.validate.tokens import HeldoutText, tokenize

TOKENS, RESULTS, LOG = "tokens.json", "logprobs.safetensors", "vllm-base.log"
FLOOR = "logprobs-again.safetensors"
SCORES, ITEMS, LM_EVAL = "scores.json", "items.json", "lm-eval"


class BaselineRecord(StageRecord):
    """The base's token ids and log-probabilities on the held-out texts.

    Attributes:
        engine: serving engine and version.
    """

    engine: str


@dataclass(frozen=True)
class Baseline:
    """The held-out texts, and what the base expects at their positions.

    Attributes:
        texts: token ids and kind of each text.
        results: what the base expects.
        floor: what it expects when it is asked again; None where that was not measured.
        items: of each task.
        scores: the base's answers to them; None where there are no tasks.
    """

    texts: list[HeldoutText]
    results: list[TextLogprobs]
    floor: list[TextLogprobs] | None
    items: tuple[TaskItems, ...] = ()
    scores: Scores | None = None


def read_baseline(folder: Path) -> Baseline:
    """Read what `measure_base` wrote."""
    texts = [
        HeldoutText.model_validate(text) for text in json.loads((folder / TOKENS).read_bytes())
    ]
    floor = logprobs.load(folder / FLOOR) if (folder / FLOOR).is_file() else None
    scored = (folder / SCORES).is_file()
    kept = json.loads((folder / ITEMS).read_bytes()) if scored else ()
    return Baseline(
        texts,
        logprobs.load(folder / RESULTS),
        floor,
        items=tuple(TaskItems.model_validate(each) for each in kept),
        scores=read_scores(folder / SCORES) if scored else None,
    )


def measure_base(
    base: Path,
    folder: Path,
    *,
    rows: Sequence[dict[str, Any]],
    items: Sequence[TaskItems],
    validation: Validation,
    settings: Settings,
    reporter: Reporter,
) -> str:
    """Serve the base, tokenize the held-out texts, measure them, and score the tasks.

    Args:
        base: folder of the base.
        folder: takes token ids, log-probabilities, answers and the server's log.
        rows: held-out rows.
        items: of each task.
        validation: the recipe's choices.
        settings: name the serving environment.
        reporter: is told how far it is.

    Returns:
        The serving engine and its version.

    Raises:
        ServingError: the base cannot be served.
        ServingUnavailable: the server went away.
        RecipeError: too few held-out texts.
    """
    k, workers = validation.serving.logprobs, validation.serving.max_num_seqs
    ends = (0, 0.4, 0.5, 0.65, 0.8, 1)
    start, text, first, again, asking = (
        Portion(reporter, begin, end) for begin, end in pairwise(ends)
    )
    with serve(
        base, name="base", serving=validation.serving, settings=settings, log=folder / LOG,
        reporter=start,
    ) as server:  # fmt: skip
        texts = tokenize(server, rows, validation, text)
        logprobs.save(folder / RESULTS, measure(server, texts, k, workers, first))
        if "floor" in validation.arms:
            logprobs.save(folder / FLOOR, measure(server, texts, k, workers, again))
        if items:
            scores = score(
                server, items, validation.serving, tokenizer=base, scratch=folder / LM_EVAL,
                reporter=asking,
            )  # fmt: skip
            write_scores(folder / SCORES, scores)
            (folder / ITEMS).write_text(json.dumps([each.model_dump() for each in items]))
    (folder / TOKENS).write_text(json.dumps([text.model_dump() for text in texts]))
    return str(server.engine)


def cached_baseline(
    workspace: Workspace,
    base: Path,
    inputs: dict[str, str],
    *,
    rows: Sequence[dict[str, Any]],
    items: Sequence[TaskItems] = (),
    validation: Validation,
    settings: Settings,
    reporter: Reporter,
) -> Path:
    """The base's measurements from its workspace, made if they are not there.

    Args:
        workspace: of the base, shared by its releases.
        base: folder of the base.
        inputs: digests of base and held-out rows.
        rows: held-out rows.
        items: of each task.
        validation: the recipe's choices.
        settings: name the serving environment.
        reporter: is told how far it is.

    Returns:
        Folder with what `measure_base` writes.
    """
    shape = {
        "texts": validation.budget,
        "floor": "floor" in validation.arms,
        "tokens": validation.tokens,
        "serving": validation.serving.model_dump(mode="json", exclude={"startup_seconds"}),
    }
    asked = {"tasks": sha256_json([each.model_dump() for each in items])} if items else {}
    inputs = inputs | {
        "shape": sha256_json(shape | asked),
        "engine": str(find_engine(settings.serve_python)),
    }

    def make(folder: Path) -> dict[str, object]:
        engine = measure_base(
            base, folder, rows=rows, items=items, validation=validation, settings=settings,
            reporter=reporter,
        )  # fmt: skip
        return {"engine": engine}

    stage = f"baseline-{sha256_json(inputs)[:12]}"
    record = workspace.run(stage, BaselineRecord, inputs, make)
    return workspace.here(record).path
