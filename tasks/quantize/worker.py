"""The quantizing child: `python -m tasks.quantize.worker job.json`, one job a process.

AutoRound keeps its contexts as singletons, so a second job in one process would inherit the first.
"""

import os
import resource
import sys
from pathlib import Path
from typing import Any

import torch
from auto_round import AutoRound

from tasks.core.checkpoint import Checkpoint
from tasks.core.errors import QuantizeError, ResourceError
from tasks.core.jobs import serve
from tasks.core.records import Saturation
from tasks.core.schemes import PACKED
from tasks.kernels.select import make_ready
from tasks.quantize.accounting import CountedBatches, read_batches
from tasks.quantize.arguments import (
    FORMAT,
    algorithm,
    check_known,
    check_received,
    entry_arguments,
    written_to,
)
from tasks.quantize.crew import FOLDER as RANKS
from tasks.quantize.crew import crew, size_of
from tasks.quantize.job import Job, Result
from tasks.quantize.layers import check_planned
from tasks.quantize.memory import pack_within
from tasks.quantize.saturation import measure
from tasks.quantize.streaming import SHARD_BYTES, reading, wide_batches
from tasks.quantize.streaming import start as start_streaming
from tasks.quantize.visiting import HELD

KIBIBYTE = 1024


def work(job: Job) -> Result:
    """Quantize the base and write what AutoRound makes of it.

    Raises:
        ResourceError: memory does not suffice.
        QuantizeError: AutoRound failed, or did other than it was asked to.
    """
    check_known(job)
    torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) // size_of(job)))
    device = torch.device("cuda", job.rank) if torch.cuda.is_available() else torch.device("cpu")
    try:
        with crew(job, device, Path.cwd() / RANKS):
            return _quantize(job, device)
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise ResourceError(
            f"quantizing needs more memory than {_name(device)} has",
            found=str(error).partition("\n")[0],
            remedy=f"lower tuning.batch_size (now {job.tuning.batch_size}) or "
            f"calibration.seqlen (now {job.seqlen}), or take a larger machine",
        ) from None
    except SystemExit as error:
        raise QuantizeError("AutoRound gave up", found=f"exit status {error.code}") from None


def _quantize(job: Job, device: torch.device) -> Result:
    if device.type == "cuda":
        pack_within(torch.cuda.get_device_properties(device).total_memory)
    if job.tuning.tuner == "fused" and job.tuning.iters:
        make_ready(device, job.tuning.gradient_precision)
    batches = read_batches(job.samples, job.tuning.batch_size)
    compressor: Any = None

    def first_block() -> torch.nn.Module:
        block: torch.nn.Module = compressor.model_context.model.get_submodule(job.blocks[0])
        return block

    samples = CountedBatches(
        batches, first_block, lambda: check_planned(compressor.layer_config, job.modules)
    )
    streams = start_streaming(device)
    _say("streaming the base" if streams else "loading the base")
    compressor = AutoRound(
        dataset=samples,
        alg_configs=algorithm(job),
        **entry_arguments(job, str(device)),
    )
    check_received(compressor, job)
    saturation = _saturation(compressor.model_context.model, job, device, streams=streams)
    shard = min(job.shard_bytes, SHARD_BYTES)
    compressor.quantize_and_save(str(job.output), format=FORMAT, max_shard_size=shard)
    _collect(job, samples.arrived)
    return Result(
        device=_name(device),
        samples_used=samples.arrived,
        peak_vram=torch.cuda.max_memory_reserved() if device.type == "cuda" else 0,
        peak_ram=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KIBIBYTE,
        saturation=saturation,
    )


def _saturation(model: Any, job: Job, device: torch.device, *, streams: bool) -> Saturation | None:
    """Measured before tuning; the random state that AutoRound has set stays as it is."""
    if job.image_token is None or job.rank:
        return None
    _say("measuring activations of image tokens")
    size = job.tuning.batch_size
    batches = (
        wide_batches(job.samples, size, job.seqlen) if streams else read_batches(job.samples, size)
    )
    visits = reading(job.model) if streams else HELD
    with torch.random.fork_rng():
        return measure(model, batches, job.modules, job.blocks, job.image_token, device, visits)


def _collect(job: Job, used: int) -> None:
    """Lift AutoRound's files out of the folder it made, and count what it packed.

    Raises:
        QuantizeError: other layers were packed than asked for, or samples were not used.
    """
    made = written_to(job.output)
    for path in made.iterdir():
        path.rename(job.output / path.name)
    made.rmdir()
    tensors = Checkpoint(job.output).tensors
    packed = {name.removesuffix(f".{PACKED}") for name in tensors if name.endswith(f".{PACKED}")}
    if packed != set(job.modules) or used != job.nsamples:
        raise QuantizeError(
            "AutoRound did less than it was asked to, or more",
            expected=f"{len(job.modules)} layers packed, {job.nsamples} samples used",
            found=f"{len(packed)} layers packed, {used} samples used; "
            f"layers that differ: {sorted(packed ^ set(job.modules))[:4]}",
        )


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def _say(phase: str) -> None:
    sys.stderr.write(f"roundhouse: {phase}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(serve(Job, work))
