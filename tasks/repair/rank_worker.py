"""Child process: which layers harm a candidate most, by what restoring each of them gives.

python -m tasks.repair.rank_worker JOB

The candidate runs in plain transformers with 4-bit weights and activations. Layers that vLLM fuses
count as one. Each group in turn gets the base's weight and full activations, and the mean KL
divergence from the base, over whole distributions, says what that gives. Then the groups are kept
in the order of their gains, measured together, while they fit and the target is not reached.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
import transformers
from torch.nn.functional import linear
from torch.nn.utils.rnn import pad_sequence

from tasks.clients.plain_model import load
from tasks.core.chat_template import ChatTemplate
from tasks.core.checkpoint import Checkpoint
from tasks.core.jobs import serve
from tasks.core.repair_records import KeptLayers
from tasks.core.schemes import PACKED, WEIGHT, fused_groups
from tasks.repair.job import Job, Ranking
from tasks.repair.keep import added_bytes

ENGINE = f"transformers {transformers.__version__}"
SHORTEST = 8
DTYPES = {"BF16": torch.bfloat16, "F16": torch.float16, "F32": torch.float32}
Group = tuple[str, ...]


def groups_of(candidate: Checkpoint) -> list[Group]:
    """Quantized layers, those that vLLM fuses together, by name."""
    packed = {n.removesuffix(f".{PACKED}") for n in candidate.tensors if n.endswith(f".{PACKED}")}
    fused = fused_groups(packed)
    alone = packed.difference(*fused)
    return sorted([*fused, *((module,) for module in alone)])


class Ranker:
    """Measures a candidate with some of its layers as the base has them.

    Args:
        job: what to measure.
    """

    def __init__(self, job: Job) -> None:
        self._base = Checkpoint(job.base)
        self._texts = tokenized(job)
        base = load(job.base)
        self._wanted = list(self._expected(base))
        del base
        self._model = load(job.candidate)
        self.tokens = sum(len(each) for each in self._wanted)

    def damage(self) -> float:
        """Mean KL from the base over all positions, nats."""
        pairs = zip(self._wanted, self._expected(self._model), strict=True)
        total = sum(float((wanted.exp() * (wanted - found)).sum()) for wanted, found in pairs)
        return total / self.tokens

    @contextmanager
    def restored(self, group: Group) -> Iterator[None]:
        """Let a group's layers be the base's."""
        before = self.restore(group)
        try:
            yield
        finally:
            for module, forward in before.items():
                module.forward = forward

    def restore(self, group: Group) -> dict[Any, Any]:
        """Make a group's layers the base's; gives how each of them went on before."""
        before = {}
        for name in group:
            module = self._model.get_submodule(name)
            before[module] = module.forward
            module.forward = partial(linear, weight=self._weight(name), bias=module.bias)
        return before

    def _weight(self, module: str) -> torch.Tensor:
        name = module + WEIGHT
        spec = self._base.tensors[name]
        raw = torch.frombuffer(bytearray(self._base.read(name)), dtype=DTYPES[spec.dtype])
        return raw.reshape(spec.shape).to(self._model.device, torch.bfloat16)

    def _expected(self, model: Any) -> Iterator[torch.Tensor]:
        """Of each text, log-probabilities [positions, vocabulary], float32 on the CPU.

        The texts are one batch, filled up on the right, where causal attention does not look.
        """
        batch = pad_sequence([torch.tensor(ids) for ids in self._texts], batch_first=True)
        with torch.no_grad():
            logits = model(input_ids=batch.to(model.device)).logits
        for row, ids in zip(logits, self._texts, strict=True):
            yield row[: len(ids) - 1].float().log_softmax(-1).cpu()


def tokenized(job: Job) -> list[list[int]]:
    """The rows as ids, those that are too short left out."""
    tokenizer: Any = transformers.AutoTokenizer.from_pretrained(job.base)
    with ChatTemplate(tokenizer) as chats:
        texts = [_ids(tokenizer, chats, row)[: job.tokens] for row in job.rows]
    return [ids for ids in texts if len(ids) >= SHORTEST]


def _ids(tokenizer: Any, chats: ChatTemplate, row: dict[str, Any]) -> list[int]:
    if "messages" not in row:
        return list(tokenizer(row["text"])["input_ids"])
    told = chats.render(row["messages"], row)
    return list(tokenizer(told, add_special_tokens=False)["input_ids"])


def rank(job: Job) -> Ranking:
    """Measure all groups that would fit, and choose which to keep."""
    candidate, base = Checkpoint(job.candidate), Checkpoint(job.base)
    costs = {group: added_bytes(base, candidate, group) for group in groups_of(candidate)}
    groups = [group for group, cost in costs.items() if cost <= job.room]
    if not groups:
        return Ranking(engine=ENGINE, tokens=0, before=0, after=0, kept=(), considered=0)
    ranker = Ranker(job)
    before = ranker.damage()
    gains = {}
    for number, group in enumerate(groups):
        with ranker.restored(group):
            gains[group] = before - ranker.damage()
        print(f"measured {number + 1} of {len(groups)}", flush=True)  # noqa: T201 - progress
    order = sorted(groups, key=lambda group: (-gains[group], group))
    kept, after = _choose(ranker, job, order, gains, costs, before)
    return Ranking(
        engine=ENGINE,
        tokens=ranker.tokens,
        before=before,
        after=after,
        kept=kept,
        considered=len(groups),
    )


def _choose(
    ranker: Ranker,
    job: Job,
    order: Sequence[Group],
    gains: dict[Group, float],
    costs: dict[Group, int],
    before: float,
) -> tuple[tuple[KeptLayers, ...], float]:
    """Keep groups that help, while they fit and the target is not reached."""
    kept: list[KeptLayers] = []
    room, damage = job.room, before
    for group in order:
        if gains[group] <= 0 or (kept and damage <= job.target):
            break
        if costs[group] <= room:
            ranker.restore(group)
            damage = ranker.damage()
            room -= costs[group]
            kept.append(KeptLayers(modules=group, bytes=costs[group], gain=gains[group]))
    return tuple(kept), damage


if __name__ == "__main__":
    sys.exit(serve(Job, rank))
