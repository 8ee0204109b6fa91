"""The algorithm as AutoRound runs it: a configuration, and the member registered for it."""

import random
from pathlib import Path
from typing import Any

import torch
from auto_round.algorithms.quantization.sign_round.config import SignRoundConfig
from auto_round.algorithms.quantization.sign_round.quantizer import SignRoundQuantizer
from auto_round.algorithms.registry import register_pipeline_member
from auto_round.logger import logger
from auto_round.utils import SUPPORTED_LAYER_TYPES, check_to_quantized
from auto_round.utils.device_manager import device_manager

from tasks.kernels.select import select, wait_ready
from tasks.kernels.state import Quanta
from tasks.quantize.fused.coverage import uncovered
from tasks.quantize.fused.finish import finish
from tasks.quantize.fused.problem import Problem
from tasks.quantize.fused.ranks import present
from tasks.quantize.fused.sampler import block_seed
from tasks.quantize.fused.settle import Asked, settle
from tasks.quantize.fused.store import Store
from tasks.quantize.fused.tuner import Tuned


class FusedSignRoundConfig(SignRoundConfig):  # type: ignore[misc]
    """SignRound as AutoRound configures it.

    Args:
        seed: with a block's name, the seed of its sampler.
        store: folder that keeps finished blocks for a restart; None keeps none.
        gradient_precision: `bf16` or `fp8`, of gradients' matrix products on a card.
        options: of `SignRoundConfig`.
    """

    def __init__(
        self,
        *,
        seed: int = 42,
        store: Path | None = None,
        gradient_precision: str = "bf16",
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.seed = seed
        self.store = store
        self.gradient_precision = gradient_precision


@register_pipeline_member(FusedSignRoundConfig)
class FusedSignRound(SignRoundQuantizer):  # type: ignore[misc]
    """Tunes blocks with our own kernels; before and after a block all is AutoRound's."""

    def prepare_run(self, composer: Any = None) -> None:
        """Choose the kernels, and say which."""
        super().prepare_run(composer)
        device = torch.device(device_manager.device)
        self.kernels = select(device, self.config.gradient_precision)
        precision = self.kernels.precision or (self.amp_dtype if self.amp else torch.float32)
        logger.info(f"tuner fused, {self.kernels.name} kernels, {precision} gradient products")

    def quantize_block(
        self,
        block: torch.nn.Module,
        fp_inputs: Any,
        input_others: dict[str, Any],
        fp_outputs: Any,
        q_inputs: Any,
        block_ctx: Any,
        input_ids: Any = None,
        **options: Any,
    ) -> None:
        """Tune the block, and leave it as AutoRound's own tuning leaves it.

        The arguments are those of `SignRoundQuantizer.quantize_block`, whose result nobody reads.
        """
        chosen, others = _split(block)
        quantizing = q_inputs is not None and self.enable_quanted_input
        inputs = q_inputs if quantizing else fp_inputs
        seed = block_seed(self.config.seed, block_ctx.block_name)
        if reason := uncovered(self.config, block, chosen, inputs):
            logger.warning(f"{block_ctx.block_name} is left to AutoRound's tuner: {reason}")
            random.seed(seed)
            super().quantize_block(
                block, fp_inputs, input_others, fp_outputs, q_inputs, block_ctx, input_ids,
                **options,
            )  # fmt: skip
            return
        device = next(block.parameters()).device
        wait_ready(device)
        posed = Problem(
            block,
            self.block_forward,
            inputs,
            input_others,
            fp_outputs,
            self._masks(input_ids),
            device,
            self.kernels.squared_error,
        )
        quanta = Quanta.of(self.iters, self.lr, self.minmax_lr)
        batch = min(self.calibration_context.batch_size, len(posed))
        ranks = present()
        asked = Asked(self.kernels, quanta, batch, seed, self._store(batch, len(posed)), ranks)
        done = settle(block_ctx.block_name, block, chosen, posed, asked)
        finish(block, chosen, done.layers, quanta, ranks)
        _log(done.tuned, chosen, others)

    def _store(self, batch: int, samples: int) -> Store | None:
        if self.config.store is None:
            return None
        asked = {"seed": self.config.seed, "iters": self.iters, "lr": self.lr, "batch": batch}
        kernels = f"{self.kernels.name} {self.kernels.precision}"
        count = ranks.size if (ranks := present()) else 1
        return Store(
            self.config.store, asked | {"samples": samples, "kernels": kernels, "ranks": count}
        )

    def _masks(self, input_ids: Any) -> Any:
        """Valid tokens of each sample, as AutoRound's own tuner has them; None counts all."""
        if input_ids is not None and not hasattr(self, "_cached_valid_token_mask"):
            self._cached_valid_token_mask = self._compute_valid_token_mask(input_ids)
        return getattr(self, "_cached_valid_token_mask", None)


def _split(block: torch.nn.Module) -> tuple[dict[str, Any], list[str]]:
    """Layers to quantize by name, and the names of those to leave alone."""
    layers = {n: m for n, m in block.named_modules() if type(m) in SUPPORTED_LAYER_TYPES}
    chosen = {name: layer for name, layer in layers.items() if check_to_quantized(layer)}
    return chosen, [name for name in layers if name not in chosen]


def _log(tuned: Tuned, chosen: dict[str, Any], others: list[str]) -> None:
    """Say what AutoRound's own tuner says of a block."""
    if others:
        logger.info(f"Unquantized layers: {others}")
    logger.infoclean(
        f"quantized {len(chosen)}/{len(chosen) + len(others)} layers in the block, "
        f"loss iter 0: {tuned.first:.3e} -> iter {tuned.iteration}: {tuned.best:.3e}"
    )
