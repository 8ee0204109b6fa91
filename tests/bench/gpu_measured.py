"""Blocks tuned again and again inside one AutoRound run, each time from a fresh copy."""

import copy
import gc
import logging
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from auto_round.algorithms.quantization.sign_round.quantizer import SignRoundQuantizer
from auto_round.algorithms.registry import register_pipeline_member

from tasks.kernels.select import select
from tasks.quantize.fused.algorithm import FusedSignRound, FusedSignRoundConfig
from tasks.quantize.fused.ranks import present
from tasks.quantize.fused.sampler import block_seed
from tests.bench.gpu_memory import fullest
from tests.bench.gpu_sent import Sent
from tests.bench.gpu_split import kernel_times, split
from tests.bench.side_by_side import Done, Losses

SHORT, LONG = 12, 32
"""Iterations of two profiled runs, whose difference is the iterations' alone."""
GIGABYTE = 1e9


class MeasuredConfig(FusedSignRoundConfig):
    """Ours, with what to measure.

    Args:
        rows: takes what was measured, one dictionary a run.
        plan: of each block, the runs in order: `bare`, `bf16`, `fp8`, `host`, `host fp8`,
            `profile`, `profile fp8`, `memory host`.
        written: is called after each run.
        deadline: of `time.monotonic`; runs that would begin later are left out.
        options: of ours.
    """

    def __init__(
        self,
        *,
        rows: list[dict[str, Any]],
        plan: list[list[str]],
        written: Callable[[], None],
        deadline: float,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.rows, self.plan, self.written, self.deadline = rows, plan, written, deadline


@register_pipeline_member(MeasuredConfig)
class Measured(FusedSignRound):
    """Tunes copies of each block as the plan says, then the block itself, a little."""

    iters: int

    def quantize_block(self, block: torch.nn.Module, *args: Any, **options: Any) -> Any:
        """Measure on copies; the block goes on with a few iterations of ours."""
        context = args[4]
        if context.block_index >= len(self.config.plan):
            raise Done
        device = next(block.parameters()).device
        block.to("cpu")
        for run in self.config.plan[context.block_index]:
            if time.monotonic() > self.config.deadline:
                self.config.rows.append({"block": context.block_name, "left out": run})
                continue
            self._run(run, block, device, args, options)
            self.config.written()
        block.to(device)
        if context.block_index + 1 == len(self.config.plan):
            raise Done
        with self._iterations(SHORT):
            return super().quantize_block(block, *args, **options)

    def _run(
        self, run: str, block: torch.nn.Module, device: torch.device, args: Any, options: Any
    ) -> None:
        context = args[4]
        kind = getattr(block.self_attn, "layer_type", "")
        row: dict[str, Any] = {"block": context.block_name, "attention": kind, "run": run}
        self.kernels = select(device, "fp8" if "fp8" in run else "bf16")

        def copied() -> torch.nn.Module:
            made: torch.nn.Module = copy.deepcopy(block, {id(block.config): block.config})
            return made.to(device)

        def tune(work: torch.nn.Module) -> None:
            if run == "bare":
                random.seed(block_seed(self.config.seed, context.block_name))
                SignRoundQuantizer.quantize_block(self, work, *args, **options)
            else:
                super(Measured, self).quantize_block(work, *args, **options)

        if run.startswith(("profile", "memory")):
            if device.type == "cuda":
                look = self._profiled if run.startswith("profile") else self._filled
                with _on_host(args, "host" in run):
                    row |= look(tune, copied)
        else:
            with _on_host(args, "host" in run):
                row |= self._timed(tune, copied(), device)
        self.config.rows.append(row)

    def _profiled(
        self, tune: Callable[[torch.nn.Module], None], copied: Callable[[], torch.nn.Module]
    ) -> dict[str, Any]:
        times = []
        for iterations in (SHORT, LONG):
            with self._iterations(iterations):
                times.append(kernel_times(partial(tune, copied())))
        return split(times[0], times[1], LONG - SHORT)

    def _filled(
        self, tune: Callable[[torch.nn.Module], None], copied: Callable[[], torch.nn.Module]
    ) -> dict[str, Any]:
        _fresh(torch.device("cuda"))
        with self._iterations(SHORT):
            return fullest(partial(tune, copied()))

    def _timed(
        self, tune: Callable[[torch.nn.Module], None], work: torch.nn.Module, device: torch.device
    ) -> dict[str, Any]:
        losses = Losses()
        _fresh(device)
        ranks = present()
        if ranks is not None:
            ranks.agree_on(truth=True)  # all begin together: copies of blocks take unequally long
            _wait(device)
        sent = Sent(device, ranks)
        start = time.perf_counter()
        tune(work)
        _wait(device)
        seconds = time.perf_counter() - start
        made: dict[str, Any] = losses.last | {"seconds": seconds, "iterations": self.iters}
        made |= sent.since()
        made |= {"kernels": f"{self.kernels.name} {self.kernels.precision}"}
        if device.type == "cuda":
            made |= {
                "allocated": torch.cuda.max_memory_allocated() / GIGABYTE,
                "reserved": torch.cuda.max_memory_reserved() / GIGABYTE,
            }
        logging.getLogger("autoround").removeHandler(losses)
        return made

    @contextmanager
    def _iterations(self, count: int) -> Iterator[None]:
        before = self.iters
        self.iters = count
        try:
            yield
        finally:
            self.iters = before


@contextmanager
def _on_host(args: Any, moved: bool) -> Iterator[None]:  # noqa: FBT001
    """Keep a block's cached samples on the host for a while."""
    lists = [each for each in args if isinstance(each, list) and each] if moved else []
    unique = {id(each): each for each in lists}.values()
    devices = [each[0].device for each in unique]
    for samples in unique:
        samples[:] = [each.cpu() for each in samples]
    try:
        yield
    finally:
        for samples, device in zip(unique, devices, strict=True):
            samples[:] = [each.to(device) for each in samples]


def _fresh(device: torch.device) -> None:
    gc.collect()
    if device.type == "cuda":
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()
