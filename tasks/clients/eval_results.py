"""`.eval_results` of a repository, in the Hub's own format."""

from dataclasses import dataclass

import yaml
from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml


@dataclass(frozen=True)
class Result:
    """A score on a benchmark that is registered with the Hub.

    Attributes:
        benchmark: `owner/name:task`, as the benchmark's eval.yaml names its task.
        revision: commit of the benchmark's dataset; empty if the items came from elsewhere.
        value: in per cent.
        url: where the evidence is.
        source: who measured, for people.
        notes: how, for people.
    """

    benchmark: str
    revision: str
    value: float
    url: str
    source: str
    notes: str


def as_yaml(results: list[Result]) -> str:
    """The file's text. Source: huggingface.co/docs/hub/eval-results."""
    entries = [
        EvalResultEntry(
            dataset_id=found.benchmark.partition(":")[0],
            task_id=found.benchmark.partition(":")[2],
            dataset_revision=found.revision or None,
            value=round(found.value, 2),
            source_url=found.url,
            source_name=found.source,
            notes=found.notes,
        )
        for found in results
    ]
    return yaml.safe_dump(eval_result_entries_to_yaml(entries), sort_keys=False)
