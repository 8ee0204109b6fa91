"""Child process: base and candidate in plain transformers.

python -m tasks.validate.second_worker JOB
"""

import re
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers

from tasks.clients.plain_model import load
from tasks.core.checkpoint import Checkpoint
from tasks.core.jobs import serve
from tasks.core.schemes import PACKED, SCALE, WEIGHT_GLOBAL
from tasks.kernels.nvfp4 import Packed, decode
from tasks.validate.control_worker import weight
from tasks.validate.packed import packed_modules
from tasks.validate.second import BlockError, Job, LayerError, SecondOpinion
from tasks.validate.tokens import HeldoutText

BLOCK = re.compile(r"^(?!.*(?:vision|audio)).*\blayers\.(\d+)$")
DTYPES = {"U8": torch.uint8, "F8_E4M3": torch.float8_e4m3fn, "F32": torch.float32}


@dataclass(frozen=True)
class Seen:
    """One text through one model: log-probabilities [n, vocabulary], output of each block."""

    logprobs: torch.Tensor
    blocks: dict[int, torch.Tensor]


@torch.no_grad()
def look(model: Any, texts: Sequence[HeldoutText]) -> list[Seen]:
    """Log-probabilities for the positions that are scored, and the blocks' outputs for all."""
    found = []
    for text in texts:
        with _outputs(model) as blocks:
            ids = torch.tensor([text.ids], device=model.device)
            logits = model(input_ids=ids).logits[0, text.start - 1 : -1]
        found.append(Seen(logits.float().log_softmax(-1).cpu(), dict(blocks)))
    return found


@contextmanager
def _outputs(model: Any) -> Iterator[dict[int, torch.Tensor]]:
    seen: dict[int, torch.Tensor] = {}

    def keep(number: int) -> Any:
        def hook(_module: object, _inputs: object, output: Any) -> None:
            hidden = output[0] if isinstance(output, tuple) else output
            seen[number] = hidden.detach().float().cpu()

        return hook

    handles = [
        module.register_forward_hook(keep(int(match[1])))
        for name, module in model.named_modules()
        if (match := BLOCK.match(name))
    ]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def exact_kl(base: Sequence[Seen], other: Sequence[Seen]) -> float:
    """Mean KL over all positions, from whole distributions."""
    total = sum(
        float((b.logprobs.exp() * (b.logprobs - o.logprobs)).sum())
        for b, o in zip(base, other, strict=True)
    )
    return total / sum(len(b.logprobs) for b in base)


def _agreement(base: Sequence[Seen], other: Sequence[Seen]) -> float:
    same = torch.cat(
        [b.logprobs.argmax(-1) == o.logprobs.argmax(-1) for b, o in zip(base, other, strict=True)]
    )
    return float(same.float().mean())


def _errors(base: Sequence[Seen], other: Sequence[Seen]) -> dict[int, float]:
    errors = {}
    for block in base[0].blocks:
        pairs = [(b.blocks[block], o.blocks[block]) for b, o in zip(base, other, strict=True)]
        off = sum(float((o - b).square().sum()) for b, o in pairs)
        errors[block] = (off / sum(float(b.square().sum()) for b, _ in pairs)) ** 0.5
    return errors


def layer_errors(base: Path, candidate: Path) -> tuple[LayerError, ...]:
    """Relative error of every packed weight."""
    original, packed = Checkpoint(base), Checkpoint(candidate)
    errors = []
    for module in packed_modules(packed.where):
        parts = [_tensor(packed, f"{module}.{part}") for part in (PACKED, SCALE, WEIGHT_GLOBAL)]
        wanted = weight(original, module).float()
        off = decode(Packed(*parts)).float() - wanted
        errors.append(LayerError(module=module, error=float(off.norm() / wanted.norm())))
    return tuple(errors)


def _tensor(checkpoint: Checkpoint, name: str) -> torch.Tensor:
    spec = checkpoint.tensors[name]
    raw = torch.frombuffer(bytearray(checkpoint.read(name)), dtype=DTYPES[spec.dtype])
    return raw.reshape(spec.shape)


def compare(job: Job) -> SecondOpinion:
    """Load base, candidate, and candidate with its weights decoded; one at a time."""
    base = look(load(job.base), job.texts)
    both = look(load(job.candidate), job.texts)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "You passed `quantization_config`", UserWarning)
        plain = transformers.CompressedTensorsConfig(dequantize=True)
        weights = look(load(job.candidate, quantization_config=plain), job.texts)
    errors, light = _errors(base, both), _errors(base, weights)
    return SecondOpinion(
        engine=f"transformers {transformers.__version__}",
        texts=len(job.texts),
        tokens=sum(len(seen.logprobs) for seen in base),
        mean_kl=exact_kl(base, both),
        weights_kl=exact_kl(base, weights),
        top1_agreement=_agreement(base, both),
        blocks=tuple(
            BlockError(block=number, both=errors[number], weights=light[number])
            for number in sorted(errors)
        ),
        layers=layer_errors(job.base, job.candidate),
    )


if __name__ == "__main__":
    sys.exit(serve(Job, compare))
