"""What a release takes: bytes exactly, memory and hours from formulas fitted to measurements.

The fitted points are those of `tasks.plan.tuners`, and on a processor the figure of
`tasks.plan.speed`. Everything else is extrapolated and may be off by half.
"""

import math
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from tasks.core.recipe import Recipe
from tasks.core.records import Estimate, Hardware
from tasks.core.schemes import WEIGHT, TensorSpec, quantized_modules, release_tensors
from tasks.plan.gate import gate_seconds
from tasks.plan.speed import Speed, speed_of
from tasks.plan.tuners import tuner_of

BLOCK = re.compile(r".*?\.layers\.\d+(?=\.)")
FORWARDS = 4
"""Forward passes of the whole set through a block beside tuning: for two chains, twice each."""
CHAINS = 3
"""Copies of the set's hidden states at once: full precision, quantized, and the next."""
SHARD = 1 << 30
"""Most of the output that waits in host memory to be written."""
RUNTIME = 4e9
"""Bytes of host memory for Python, torch and the device's libraries."""
NETWORK = 100e6
DISK = 400e6
QUANTIZER_START = 60.0


def estimate_from(
    config: Mapping[str, Any],
    tensors: Mapping[str, TensorSpec],
    recipe: Recipe,
    hardware: Hardware,
) -> Estimate:
    """What the release of a base will take on a machine; nothing is read or measured.

    Args:
        config: the base's config.json.
        tensors: spec of each of the base's tensors.
        recipe: what is quantized, and how it is calibrated and validated.
        hardware: of the machine that quantizes and validates.
    """
    modules = quantized_modules(tensors, recipe)
    blocks = block_parameters(tensors, modules)
    base = sum(spec.nbytes for spec in tensors.values())
    release = sum(spec.nbytes for spec in release_tensors(tensors, modules).values())
    packed = sum(tensors[module + WEIGHT].nbytes for module in modules)
    parameters = sum(math.prod(spec.shape) for spec in tensors.values())
    hidden = int(text_config(config).get("hidden_size", 0))
    largest = max(blocks.values(), default=0)
    seconds = stage_seconds(base, release, parameters, blocks, recipe, hardware)
    return Estimate(
        base=base,
        release=release,
        parameters=parameters,
        quantized_parameters=sum(blocks.values()),
        quantized_modules=len(modules),
        blocks=len(blocks),
        vram=vram(largest, hidden, recipe) if hardware.gpu else 0,
        ram=ram(base, packed, largest, hidden, recipe, hardware),
        disk=disk(base, release, packed, hardware),
        hours=sum(seconds.values()) / 3600,
        seconds={stage: round(each, 1) for stage, each in seconds.items()},
    )


def text_config(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The language model's part of config.json."""
    nested = config.get("text_config")
    return nested if isinstance(nested, Mapping) else config


def block_parameters(tensors: Mapping[str, TensorSpec], modules: list[str]) -> Counter[str]:
    """Quantized parameters of each decoder block, by the block's name."""
    found: Counter[str] = Counter()
    for module in modules:
        if block := BLOCK.match(module):
            found[block.group()] += math.prod(tensors[module + WEIGHT].shape)
    return found


def chain_bytes(hidden: int, recipe: Recipe) -> int:
    """The set's hidden states in BF16, all copies: nsamples x seqlen x hidden."""
    return CHAINS * recipe.calibration.nsamples * recipe.calibration.seqlen * hidden * 2


def vram(largest: int, hidden: int, recipe: Recipe) -> int:
    """Peak bytes on the accelerator while the largest block is tuned.

    The tuner's bytes a parameter of the block, the set's hidden states, and some 40 BF16
    activations of the hidden size for each token of a step (the feed-forward layer's being four
    times as wide).
    """
    step = recipe.tuning.batch_size * recipe.calibration.seqlen
    held = tuner_of(recipe.tuning).bytes_a_parameter * largest
    return held + chain_bytes(hidden, recipe) + step * hidden * 40 * 2


def ram(
    base: int, packed: int, largest: int, hidden: int, recipe: Recipe, hardware: Hardware
) -> int:
    """Peak bytes of host memory.

    With an accelerator the blocks are streamed from the shards: what stays is the rest of the base,
    a few blocks, the set's hidden states and a shard of the output. Without one the model may have
    to be held in FP32, and the block is tuned in host memory too.
    """
    if not hardware.gpu:
        tuned = tuner_of(recipe.tuning).bytes_a_parameter * largest
        held = 2 * base + tuned + 2 * chain_bytes(hidden, recipe)
    else:
        held = base - packed + 4 * 2 * largest + chain_bytes(hidden, recipe) + SHARD
    return int(held + RUNTIME)


def disk(base: int, release: int, packed: int, hardware: Hardware) -> int:
    """Bytes the workspace grows by: the base, the quantizer's output, the release, and its archive.

    Without an accelerator the quantizer writes what is not quantized in FP32.
    """
    widened = 0 if hardware.gpu else base - packed
    return int(base + widened + 3 * release + 1e9)


def step_seconds(parameters: int, recipe: Recipe, speed: Speed) -> float:
    """One tuning step of a block: its matrix products, and its passes over the weights.

    6 FLOP a parameter and token (forward and both gradients), and the traversals in FP32.
    """
    tokens = recipe.tuning.batch_size * recipe.calibration.seqlen
    products = 6 * parameters * tokens / speed.rate
    traversals = tuner_of(recipe.tuning).traversals
    return products + traversals * 4 * parameters / speed.bandwidth


def block_seconds(parameters: int, recipe: Recipe, speed: Speed) -> float:
    """Tuning one block, and the forward passes of the whole set around it."""
    tokens = recipe.calibration.nsamples * recipe.calibration.seqlen
    forwards = FORWARDS * 2 * parameters * tokens / speed.rate
    return recipe.tuning.iters * step_seconds(parameters, recipe, speed) + forwards


def stage_seconds(
    base: int,
    release: int,
    parameters: int,
    blocks: Mapping[str, int],
    recipe: Recipe,
    hardware: Hardware,
) -> dict[str, float]:
    """From download to archive, by stage; those that are not named take no time to speak of.

    Network at 100 MB/s for the base once and the release twice, disk at 400 MB/s for four passes
    over the release, and the gate as `tasks.plan.gate` has it.
    """
    speed = speed_of(hardware)
    tuning = QUANTIZER_START + sum(block_seconds(p, recipe, speed) for p in blocks.values())
    passing, sending = release / DISK, release / NETWORK
    return {
        "download": base / NETWORK,
        "quantize": tuning,
        "convert": 2 * passing,
        "validate": gate_seconds(base, release, parameters, recipe.validation, speed),
        "upload": passing + sending,
        "archive": passing + sending,
    }
