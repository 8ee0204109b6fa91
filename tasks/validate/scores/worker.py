"""Child process: lm-eval's evaluator against a running server.

python -m tasks.validate.scores.worker JOB
"""

import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import aiohttp
import datasets
import requests
from lm_eval import simple_evaluate
from lm_eval.api.instance import Instance
from lm_eval.api.model import LM
from lm_eval.api.task import ConfigurableTask
from lm_eval.models.api_models import JsonChatStr
from lm_eval.models.openai_completions import LocalChatCompletion, LocalCompletionsAPI

from tasks.core.errors import ServingUnavailable
from tasks.core.jobs import serve
from tasks.validate.scores.items import TaskItems, told
from tasks.validate.scores.run import Answer, Answers, Job, Scores

SPLIT, TIMEOUT_SECONDS = "test", 600


class Chat(LocalChatCompletion):  # type: ignore[misc]
    """lm-eval's `local-chat-completions`, which also sends tools and reads their calls.

    A prompt is the JSON of a request's own parts, of which lm-eval knows the messages alone.
    """

    def _create_payload(self, messages: Any, **options: Any) -> dict[str, Any]:
        own = dict(messages)
        payload: dict[str, Any] = super()._create_payload(own.pop("messages"), **options)
        return payload | own

    def parse_generations(self, outputs: Any, **_: Any) -> list[str]:
        """What is compared of each answer."""
        answers = outputs if isinstance(outputs, list) else [outputs]
        return [told(choice["message"]) for answer in answers for choice in answer["choices"]]


class Exercises(ConfigurableTask):  # type: ignore[misc]
    """A task of ours as lm-eval's; its data is handed over, so nothing is looked up by name."""

    def __init__(self, given: TaskItems) -> None:
        rows = [{"asked": item.asked, "answer": item.answer} for item in given.items]
        chat = given.task.kind == "exact_match"
        exact = {"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}
        config: dict[str, Any] = {
            "task": given.task.name,
            "custom_dataset": lambda: {SPLIT: datasets.Dataset.from_list(rows)},
            "test_split": SPLIT,
            "num_fewshot": 0,
            "output_type": "generate_until" if chat else "loglikelihood_rolling",
            "doc_to_text": "asked" if chat else "",
            "doc_to_target": "answer" if chat else "asked",
        }
        settings = {"until": [], "max_gen_toks": given.task.max_tokens, "temperature": 0}
        chats = {"generation_kwargs": settings, "metric_list": [exact]}
        super().__init__(config=config | (chats if chat else {}))

    def construct_requests(self, doc: Any, ctx: Any, **options: Any) -> Any:
        """A chat goes out as the item has it; lm-eval knows neither tools nor earlier turns."""
        if self.OUTPUT_TYPE != "generate_until":
            return super().construct_requests(doc, ctx, **options)
        for unused in ("apply_chat_template", "chat_template"):
            options.pop(unused, None)
        arguments = (JsonChatStr(doc["asked"]), dict(self.config.generation_kwargs))
        return Instance("generate_until", doc, arguments, 0, **options)


def _chat(job: Job) -> LM:
    return Chat(
        model=job.name,
        base_url=f"{job.url}/v1/chat/completions",
        num_concurrent=job.workers,
        max_length=job.max_length,
        timeout=TIMEOUT_SECONDS,
    )


def _completions(job: Job) -> LM:
    """For whole texts: lm-eval puts one <bos> before each by itself, so none is added here."""
    return LocalCompletionsAPI(
        model=job.name,
        base_url=f"{job.url}/v1/completions",
        tokenizer=str(job.tokenizer),
        tokenizer_backend="huggingface",
        num_concurrent=job.workers,
        max_length=job.max_length,
        timeout=TIMEOUT_SECONDS,
    )


def _evaluated(model: LM, tasks: Sequence[TaskItems]) -> dict[str, list[dict[str, Any]]]:
    """Samples of each task, sorted by item."""
    found = simple_evaluate(
        model, tasks=[Exercises(each) for each in tasks], bootstrap_iters=0, log_samples=True
    )
    samples: dict[str, list[dict[str, Any]]] = found["samples"]
    return {
        name: sorted(rows, key=lambda row: int(row["doc_id"])) for name, rows in samples.items()
    }


def _exact(row: dict[str, Any]) -> Answer:
    return Answer(said=row["filtered_resps"][0], value=float(row["exact_match"]))


def _rolling(model: Any, row: dict[str, Any]) -> Answer:
    tokens = len(model.tok_encode(row["doc"]["asked"]))
    return Answer(said="", value=-float(row["filtered_resps"][0]), weight=tokens)


def score(job: Job) -> Scores:
    """Evaluate chats and texts, each through lm-eval's own model for them."""
    chats = [each for each in job.tasks if each.task.kind == "exact_match"]
    texts = [each for each in job.tasks if each.task.kind == "perplexity"]
    found: dict[str, tuple[Answer, ...]] = {}
    try:
        if chats:
            for name, rows in _evaluated(_chat(job), chats).items():
                found[name] = tuple(map(_exact, rows))
        if texts:
            model = _completions(job)
            for name, rows in _evaluated(model, texts).items():
                found[name] = tuple(_rolling(model, row) for row in rows)
    except (aiohttp.ClientError, requests.RequestException, TimeoutError) as error:
        raise ServingUnavailable(
            "the server did not answer lm-eval",
            expected="an answer to each request",
            found=f"{type(error).__name__}: {error}",
            remedy="it is tried again; if it recurs, read the server's log",
        ) from error
    return Scores(
        engine=f"lm-eval {version('lm_eval')}",
        tasks=tuple(
            Answers(name=each.task.name, answers=found[each.task.name]) for each in job.tasks
        ),
    )


if __name__ == "__main__":
    sys.exit(serve(Job, score))
