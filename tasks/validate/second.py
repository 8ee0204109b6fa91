"""A second opinion: plain transformers with compressed-tensors, in a child process.

It serves the candidate as vLLM does (weights and activations in 4 bits), and once more with
activations left alone: so damage of the weights is told from damage of the activations. It sees
whole distributions, so its divergence is the exact one, and the output of every block.
"""

from collections.abc import Sequence
from pathlib import Path

from tasks.core.jobs import run_job
from tasks.core.manifest import Frozen
from tasks.core.process import child_environment
from tasks.validate.tokens import HeldoutText

WORKER = "tasks.validate.second_worker"


class Job(Frozen):
    """Measure a candidate against its base on these texts."""

    base: Path
    candidate: Path
    texts: tuple[HeldoutText, ...]


class BlockError(Frozen):
    """Relative error of a block's output, root of squares, all text positions together.

    Attributes:
        block: its number.
        both: with 4-bit weights and activations.
        weights: with 4-bit weights alone.
    """

    block: int
    both: float
    weights: float


class LayerError(Frozen):
    """Relative error of a layer's decoded weight (Frobenius norm)."""

    module: str
    error: float


class SecondOpinion(Frozen):
    """What plain transformers found.

    Attributes:
        engine: its name and version.
        texts: how many texts.
        tokens: positions.
        mean_kl: exact mean KL of the candidate against the base, nats a token.
        weights_kl: the same with activations left alone.
        top1_agreement: of the candidate with the base.
        blocks: error of each block's output.
        layers: error of each packed weight.
    """

    engine: str
    texts: int
    tokens: int
    mean_kl: float
    weights_kl: float
    top1_agreement: float
    blocks: tuple[BlockError, ...]
    layers: tuple[LayerError, ...]


def second_opinion(
    base: Path, candidate: Path, texts: Sequence[HeldoutText], scratch: Path
) -> SecondOpinion:
    """Measure with plain transformers.

    Args:
        base: folder of the base.
        candidate: folder of the candidate.
        texts: held-out texts.
        scratch: takes job and log.

    Raises:
        PermanentError: transformers cannot load one of them.
        WorkerLost: the child was killed from outside.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    job = Job(
        base=base.resolve(),
        candidate=candidate.resolve(),
        texts=tuple(texts),
    )
    quiet = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    return run_job(WORKER, job, SecondOpinion, scratch=scratch, env=child_environment(**quiet))
