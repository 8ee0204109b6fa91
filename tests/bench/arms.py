"""What 4 bits cost the demo's base: `python -m tests.bench.arms BASE CANDIDATE FOLDER`.

Measures, through plain transformers with weights and activations in 4 bits, the candidate, the same
weights rounded to nearest, and the candidate with the scales of its activations four times too
large (so that activations clip) and four times too small (so that they are coarse). For each arm:
mean KL divergence from the base on held-out text, how much that is above the candidate's, paired by
row with 95 % bounds, and the share of each skill that is kept.
"""

import argparse
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from infra.local.base_model.evaluate import exact_answers, rows
from infra.local.base_model.skills import KINDS
from tasks.validate.control import Job
from tasks.validate.control_worker import round_to_nearest
from tasks.validate.statistics.bootstrap import weighted_mean

CANDIDATE, BATCH, SEED, CONFIDENCE = "tuned", 8, 0, 0.975
"""A bound of 97.5 % on either side: an interval of 95 %."""


def arms(base: Path, candidate: Path, folder: Path) -> dict[str, Path]:
    """The checkpoints to compare, by name; what is not there is made."""
    folder.mkdir(parents=True, exist_ok=True)
    rounded = folder / "rounded"
    shutil.rmtree(rounded, ignore_errors=True)
    round_to_nearest(Job(base=base, candidate=candidate, output=rounded))
    return {
        CANDIDATE: candidate,
        "rounded to nearest": rounded,
        "activations clip": _rescaled(candidate, folder / "clip", 4.0),
        "activations coarse": _rescaled(candidate, folder / "coarse", 0.25),
    }


def _rescaled(candidate: Path, folder: Path, factor: float) -> Path:
    """A copy whose activations are divided by a global scale that is `factor` times as large."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(candidate, folder)
    for shard in folder.glob("*.safetensors"):
        tensors = load_file(shard)
        for name in tensors:
            if name.endswith("input_global_scale"):
                tensors[name] = tensors[name] * factor
        save_file(tensors, shard, metadata={"format": "pt"})
    return folder


@torch.no_grad()
def divergence(model: Any, reference: Any, tokens: torch.Tensor) -> NDArray[np.float64]:
    """Mean KL of a model from the reference, nats a token, for each row of tokens [n, width]."""
    found = []
    for batch in torch.split(tokens, BATCH):
        ours, theirs = (
            m(input_ids=batch).logits.float().log_softmax(-1) for m in (model, reference)
        )
        found.append((theirs.exp() * (theirs - ours)).sum(-1).mean(-1))
    return torch.cat(found).double().numpy()


def skills(model: Any, processor: Any, exercises: int) -> dict[str, float]:
    """Share of held-out exercises of each kind that are answered to the letter."""
    return {kind: exact_answers(model, processor, kind, exercises)[0] for kind in KINDS}


def main() -> None:
    """Measure, and print a table; the figures go to `arms.json` in the folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("base", type=Path)
    parser.add_argument("candidate", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=64, help="of 512 tokens")
    parser.add_argument("--exercises", type=int, default=64, help="of each kind")
    chosen = parser.parse_args()
    processor, load = _loaders()
    reference = load(chosen.base)
    tokens = rows(processor(chosen.base).tokenizer)[: chosen.rows]
    before = skills(reference, processor(chosen.base), chosen.exercises)
    found: dict[str, Any] = {}
    kl: dict[str, NDArray[np.float64]] = {}
    for name, path in arms(chosen.base, chosen.candidate, chosen.folder).items():
        model = load(path)
        kl[name] = divergence(model, reference, tokens)
        after = skills(model, processor(path), chosen.exercises)
        found[name] = _figures(kl[name], kl[CANDIDATE], before, after)
        _say(name, found[name])
    (chosen.folder / "arms.json").write_text(json.dumps(found, indent=2) + "\n")


def _loaders() -> tuple[Callable[[Path], Any], Callable[[Path], Any]]:
    from transformers import AutoProcessor, Gemma4ForConditionalGeneration

    make: Any = Gemma4ForConditionalGeneration.from_pretrained
    read: Any = AutoProcessor.from_pretrained
    return read, lambda folder: make(folder, dtype=torch.bfloat16).eval()


def _figures(
    kl: NDArray[np.float64],
    tuned: NDArray[np.float64],
    before: dict[str, float],
    after: dict[str, float],
) -> dict[str, Any]:
    more = weighted_mean(kl - tuned, np.ones(len(kl)), seed=SEED)
    bounds = [more.lower(CONFIDENCE), more.upper(CONFIDENCE)]
    kept = {kind: after[kind] / before[kind] for kind in before}
    return {"kl": float(kl.mean()), "above_tuned": more.value, "bounds": bounds, "kept": kept}


def _say(name: str, found: dict[str, Any]) -> None:
    low, high = found["bounds"]
    kept = ", ".join(f"{kind} {share:.3f}" for kind, share in found["kept"].items())
    sys.stdout.write(
        f"{name:<20} KL {found['kl']:.4f}, above tuned by {found['above_tuned']:+.4f} "
        f"[{low:+.4f}, {high:+.4f}]\n{'':<20} kept: {kept}\n"
    )
    sys.stdout.flush()


if __name__ == "__main__":
    main()
