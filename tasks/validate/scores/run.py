"""Has lm-eval score a served model, in a child process that sees local data alone."""

from collections.abc import Sequence
from pathlib import Path

from tasks.core.digest import indented_json
from tasks.core.jobs import run_job
from tasks.core.manifest import Frozen
from tasks.core.process import child_environment
from tasks.core.progress import Reporter
from tasks.core.recipe_validation import Serving
from tasks.validate.scores.items import TaskItems
from tasks.validate.server import Server

WORKER = "tasks.validate.scores.worker"
QUIET = {
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TQDM_DISABLE": "1",
    "NO_PROXY": "127.0.0.1",
}


class Job(Frozen):
    """Score these tasks on a server.

    Attributes:
        url: of the server.
        name: what it calls the model.
        tokenizer: folder of the model.
        tasks: what is asked.
        workers: requests at once.
        max_length: tokens of context.
    """

    url: str
    name: str
    tokenizer: Path
    tasks: tuple[TaskItems, ...]
    workers: int
    max_length: int


class Answer(Frozen):
    """What a model made of one item.

    Attributes:
        said: its answer; empty for a text.
        value: 1 for a right answer, else 0; of a text the negative log-likelihood, in nats.
        weight: 1; of a text its tokens.
    """

    said: str
    value: float
    weight: int = 1


class Answers(Frozen):
    """All answers to one task, in the order of its items."""

    name: str
    answers: tuple[Answer, ...]


class Scores(Frozen):
    """What lm-eval found, and its version."""

    engine: str
    tasks: tuple[Answers, ...]


def score(
    server: Server,
    tasks: Sequence[TaskItems],
    serving: Serving,
    *,
    tokenizer: Path,
    scratch: Path,
    reporter: Reporter,
) -> Scores:
    """Let lm-eval put every item of every task to a server.

    Args:
        server: serves base or candidate.
        tasks: what is asked.
        serving: the recipe's choices.
        tokenizer: folder of the served model.
        scratch: takes job and log.
        reporter: is told how far it is.

    Raises:
        ServingUnavailable: the server went away.
        PermanentError: lm-eval failed.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    count = sum(len(each.items) for each in tasks)
    reporter.update(0.0, f"lm-eval asks {server.name}: {count} items of {len(tasks)} tasks")
    job = Job(
        url=server.url,
        name=server.name,
        tokenizer=tokenizer.resolve(),
        tasks=tuple(tasks),
        workers=serving.max_num_seqs,
        max_length=serving.max_model_len,
    )
    key = {"OPENAI_API_KEY": server.key.get_secret_value()}
    env = child_environment(**QUIET, **key, HF_HOME=str(scratch.resolve() / "cache"))
    return run_job(WORKER, job, Scores, scratch=scratch, env=env)


def write_scores(path: Path, scores: Scores) -> None:
    """Write what `read_scores` reads."""
    path.write_text(indented_json(scores))


def read_scores(path: Path) -> Scores:
    """Read what `write_scores` wrote."""
    return Scores.model_validate_json(path.read_bytes())
