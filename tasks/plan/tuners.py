"""What a tuner takes of a machine beside the matrix products.

Fitted to one block of gemma-4-31B's shape on an H100, 200 iterations of 8 x 512 tokens, 0.5 G
parameters: AutoRound 0.16.1 takes 200 ms an iteration and 35.8 GB, ours 24 ms and 10.5 GB.
"""

from typing import NamedTuple

from tasks.core.recipe import Tuning


class Tuner(NamedTuple):
    """Costs of a tuner.

    Attributes:
        traversals: passes over a block's weights, as FP32, in one tuning step, read or written:
            the time of a step less its matrix products, times the card's bandwidth, over the
            block's bytes.
        bytes_a_parameter: of the block that is tuned, on the device that tunes: weight, offsets,
            gradient and best offsets; with AutoRound also what autograd keeps of its eager
            fake-quantization.
    """

    traversals: int
    bytes_a_parameter: int


AUTOROUND = Tuner(320, 62)
FUSED = Tuner(12, 16)


def tuner_of(tuning: Tuning) -> Tuner:
    """The costs of a recipe's tuner."""
    return FUSED if tuning.tuner == "fused" else AUTOROUND
