"""Tune each block twice in one process: a copy with AutoRound's own tuner, then with ours.

`python -m tests.bench.side_by_side BASE --samples FILE` prints one JSON line a block. Both see the
same inputs, targets and batches, so losses compare sample for sample and times machine for machine.
"""

import argparse
import copy
import json
import logging
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from auto_round import AutoRound
from auto_round.algorithms.quantization.sign_round.quantizer import SignRoundQuantizer
from auto_round.algorithms.registry import register_pipeline_member

from tasks.kernels.linear import Kernels
from tasks.quantize.accounting import read_batches
from tasks.quantize.fused.algorithm import FusedSignRound, FusedSignRoundConfig
from tasks.quantize.fused.sampler import block_seed
from tasks.quantize.telemetry import BLOCK_DONE
from tests.bench.meters import forget_peak, peak, products
from tests.bench.meters import timed as timed_work


class Done(Exception):
    """Enough blocks were compared."""


class Losses(logging.Handler):
    """Keeps the losses that AutoRound's log tells."""

    def __init__(self) -> None:
        super().__init__()
        self.last: dict[str, float] = {}
        logging.getLogger("autoround").addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Take a line of the log."""
        if found := BLOCK_DONE.search(record.getMessage()):
            self.last = {"first": float(found["first"]), "best": float(found["best"])}


class Timed:
    """Kernels that count the seconds spent in them; on a GPU each waits for the device.

    Args:
        kernels: do the work.
    """

    def __init__(self, kernels: Kernels) -> None:
        self._kernels = kernels
        self.name = kernels.name
        self.precision = kernels.precision
        self.seconds = 0.0

    def __getattr__(self, name: str) -> Callable[..., Any]:
        """A function of the kernels, timed."""
        function = getattr(self._kernels, name)

        def timed(*arguments: Any) -> Any:
            made, seconds = timed_work(lambda: function(*arguments))
            self.seconds += seconds
            return made

        return timed


class SideBySideConfig(FusedSignRoundConfig):
    """Ours, run after AutoRound's.

    Args:
        blocks: how many blocks to compare.
        options: of ours.
    """

    def __init__(self, *, blocks: int, **options: Any) -> None:
        super().__init__(**options)
        self.blocks = blocks


@register_pipeline_member(SideBySideConfig)
class SideBySide(FusedSignRound):
    """Tunes a copy as AutoRound does, then the block as we do, and prints both."""

    def quantize_block(self, block: torch.nn.Module, *args: Any, **options: Any) -> Any:
        """Tune twice; the block is left with our result."""
        context = args[4]
        if context.block_index >= self.config.blocks:
            raise Done
        losses = Losses()
        copied = copy.deepcopy(block)

        def bare() -> Any:
            random.seed(block_seed(self.config.seed, context.block_name))
            return SignRoundQuantizer.quantize_block(self, copied, *args, **options)

        def fused() -> Any:
            return super(SideBySide, self).quantize_block(block, *args, **options)

        row: dict[str, Any] = {
            "block": context.block_name,
            "attention": getattr(block.self_attn, "layer_type", "full_attention"),
            "seed": self.config.seed,
            "products": products(block, self.calibration_context, self.amp_dtype),
        }
        self.kernels = kernels = Timed(self.kernels)
        for name, tune in (("bare", bare), ("fused", fused)):
            forget_peak()
            made, seconds = timed_work(tune)
            row[name] = losses.last | {"seconds": seconds} | peak()
        self.kernels = kernels._kernels
        row["fused"] |= {"kernel_seconds": kernels.seconds, "kernels": kernels.name}
        logging.getLogger("autoround").removeHandler(losses)
        print(json.dumps(row), flush=True)  # noqa: T201 - a program's output
        return made


def main() -> None:
    """Compare the tuners on a base."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("base", type=Path)
    parser.add_argument("--samples", type=Path, required=True, help="a calibration set")
    parser.add_argument("--out", type=Path, required=True, help="an empty folder")
    parser.add_argument("--iters", type=int, default=10)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--blocks", type=int, default=8)
    parser.add_argument("--ignore", default="vision_tower,embed_vision,lm_head")
    chosen = parser.parse_args()
    batches = read_batches(chosen.samples, chosen.batch)
    compressor = AutoRound(
        model=str(chosen.base),
        dataset=batches,
        scheme="NVFP4",
        nsamples=sum(len(batch["input_ids"]) for batch in batches),
        seqlen=batches[0]["input_ids"].shape[1],
        batch_size=chosen.batch,
        seed=chosen.seed,
        ignore_layers=chosen.ignore,
        device_map="0" if torch.cuda.is_available() else "cpu",
        format="auto_round",
        alg_configs=SideBySideConfig(iters=chosen.iters, seed=chosen.seed, blocks=chosen.blocks),
    )
    try:
        compressor.quantize_and_save(str(chosen.out), format="auto_round")
    except Done:
        return


if __name__ == "__main__":
    main()
