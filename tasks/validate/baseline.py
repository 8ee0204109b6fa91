"""What the base expects of the held-out texts, measured once for all its releases.

With the arm `floor` the same server is asked twice: what then differs is the engine's own noise,
below which no difference of a candidate's means anything.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.core.digest import sha256_json
from tasks.core.manifest import StageRecord
from tasks.core.progress import Reporter
from tasks.core.recipe import Validation
from tasks.core.settings import Settings
from tasks.core.workspace import Workspace
from tasks.validate import logprobs
from tasks.validate.engine import find_engine
from tasks.validate.logprobs import TextLogprobs, measure
from tasks.validate.portion import Portion
from tasks.validate.serve import serve
from tasks.validate.tokens import HeldoutText, tokenize

TOKENS, RESULTS, LOG = "tokens.json", "logprobs.safetensors", "vllm-base.log"
FLOOR = "logprobs-again.safetensors"


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
    """

    texts: list[HeldoutText]
    results: list[TextLogprobs]
    floor: list[TextLogprobs] | None


def read_baseline(folder: Path) -> Baseline:
    """Read what `measure_base` wrote."""
    texts = [
        HeldoutText.model_validate(text) for text in json.loads((folder / TOKENS).read_bytes())
    ]
    floor = logprobs.load(folder / FLOOR) if (folder / FLOOR).is_file() else None
    return Baseline(texts, logprobs.load(folder / RESULTS), floor)


def measure_base(
    base: Path,
    folder: Path,
    *,
    rows: Sequence[dict[str, Any]],
    validation: Validation,
    settings: Settings,
    reporter: Reporter,
) -> str:
    """Serve the base, tokenize the held-out texts, and measure them.

    Args:
        base: folder of the base.
        folder: takes token ids, log-probabilities and the server's log.
        rows: held-out rows.
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
    start, text, first, again = (
        Portion(reporter, begin, end) for begin, end in ((0, 0.5), (0.5, 0.6), (0.6, 0.8), (0.8, 1))
    )
    with serve(
        base, name="base", serving=validation.serving, settings=settings, log=folder / LOG,
        reporter=start,
    ) as server:  # fmt: skip
        texts = tokenize(server, rows, validation, text)
        logprobs.save(folder / RESULTS, measure(server, texts, k, workers, first))
        if "floor" in validation.arms:
            logprobs.save(folder / FLOOR, measure(server, texts, k, workers, again))
    (folder / TOKENS).write_text(json.dumps([text.model_dump() for text in texts]))
    return str(server.engine)


def cached_baseline(
    workspace: Workspace,
    base: Path,
    inputs: dict[str, str],
    *,
    rows: Sequence[dict[str, Any]],
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
    inputs = inputs | {
        "shape": sha256_json(shape),
        "engine": str(find_engine(settings.serve_python)),
    }

    def make(folder: Path) -> dict[str, object]:
        engine = measure_base(
            base, folder, rows=rows, validation=validation, settings=settings, reporter=reporter
        )
        return {"engine": engine}

    stage = f"baseline-{sha256_json(inputs)[:12]}"
    record = workspace.run(stage, BaselineRecord, inputs, make)
    return workspace.here(record).path
