"""Evidence made up for tests: 24 texts of three kinds, measured and decided as the gate does."""

import numpy as np

from tasks.core.gate_records import Check, Metrics
from tasks.core.recipe_source import Source
from tasks.core.recipe_validation import Limits, Task
from tasks.validate.compare import TextResult
from tasks.validate.evidence import Context, Evidence, Guess
from tasks.validate.measures import judge, strata
from tasks.validate.scores.paired import Flip, Paired, criteria, summary
from tasks.validate.scores.run import Answer
from tasks.validate.second import BlockError, LayerError, SecondOpinion

LIMITS = Limits(
    mean_kl=0.08, perplexity_ratio=1.08, top1_agreement=0.85, sure_agreement=0.95, stratum_kl=0.2,
    flips=0.2, task_loss=0.25,
)  # fmt: skip
HELD = Check(name="chat", passed=True, seen="Tokyo", required="Tokyo")
METRICS = Metrics(
    k=20, texts=24, tokens=3600, base_perplexity=9.5, perplexity=9.8, perplexity_ratio=1.0316,
    mean_kl=0.05, p99_kl=0.7, top1_agreement=0.93, sure_agreement=0.995, median_kl=0.01,
    flips=0.07, covered=0.97,
)  # fmt: skip
KINDS = ("dialogue", "tool calls", "science")


def texts(kl: float = 0.05, control: float | None = 0.06, count: int = 24) -> list[TextResult]:
    """Texts whose mean KL scatters around `kl` by a fifth."""
    draw = np.random.default_rng(0)
    return [
        TextResult(
            stratum=KINDS[n % 3], tokens=150, mean_kl=kl * draw.uniform(0.7, 1.3), base_loss=2.0,
            loss=2.0 + kl * draw.uniform(0.3, 0.7), top1_agreement=1 - kl * draw.uniform(1, 1.6),
            sure=60, sure_agreement=1 - kl * draw.uniform(0, 0.2), lost=6, gained=5, floor_kl=0.0,
            control_kl=control,
        )
        for n in range(count)
    ]  # fmt: skip


def evidence(*checks: Check, kl: float = 0.05, control: float | None = 0.06) -> Evidence:
    """Evidence about texts of that mean KL and a task, against `LIMITS`."""
    measured = texts(kl, control)
    judged = judge(
        measured, LIMITS, seed=1, confidence=0.95, budget=48, tasks=criteria([TASK], LIMITS, 1)
    )
    return Evidence(
        base="acme/base", candidate="demo-1", engine="vllm 0.32.0",
        kernel="CutlassNvFp4LinearKernel", numerics="W4A4 native", checks=checks or (HELD,),
        metrics=METRICS.model_copy(update={"mean_kl": kl}), measures=judged.measures,
        feasible=judged.feasible, strata=strata(measured, seed=1, confidence=0.95), budget=48,
        floor_kl=0.0, control_kl=control, second=SECOND, contexts=(CONTEXT,),
        tasks=summary([TASK], seed=1, confidence=0.95), scorer="lm-eval 0.4.13", flips=(FLIP,),
        texts=tuple(measured), seconds={"base": 12.0},
    )  # fmt: skip


TASK = Paired(
    Task(name="tools", source=Source(files="tools.jsonl"), items=32),
    tuple(Answer(said="a", value=1.0) for _ in range(32)),
    tuple(Answer(said="a", value=float(n > 0)) for n in range(32)),
)
FLIP = Flip(
    task="tools", item=0, asked="What time is it?", answer="get_time()", base="get_time()",
    candidate="I cannot tell.", lost=True,
)  # fmt: skip
SECOND = SecondOpinion(
    engine="transformers 5.23.0", texts=4, tokens=600, mean_kl=0.06, weights_kl=0.03,
    top1_agreement=0.93,
    blocks=tuple(BlockError(block=n, both=0.02 * n + 0.05, weights=0.01 * n) for n in range(8)),
    layers=tuple(
        LayerError(module=f"model.layers.{n}.self_attn.{kind}", error=0.1 + 0.01 * n)
        for n in range(8)
        for kind in ("q_proj", "o_proj")
    ),
)  # fmt: skip
CONTEXT = Context(
    text=3, position=17, kl=2.5, before="The capital of Japan is", token=" Tokyo",
    base=(Guess(token=" Tokyo", probability=0.9),),
    candidate=(Guess(token=" Kyoto", probability=0.6),),
)  # fmt: skip
