"""How small a damage can be seen, and how many items it takes.

With standard error s of a mean over n sources, a one-sided test at level a sees a damage of

    d = (z(1 - a) + z(power)) s

with the given power; s shrinks with the square root of n.
"""

import math
from statistics import NormalDist

POWER = 0.8


def detectable(error: float, confidence: float, power: float = POWER) -> float:
    """Smallest damage that is seen with the given power, in the units of `error`."""
    return _width(confidence, power) * error


def items_needed(discordance: float, margin: float, confidence: float = 0.95) -> int:
    """Paired items to show that accuracy fell by less than `margin`, if it did not fall.

    The variance of a paired difference of a lossless model is its discordance; at 95% and a power
    of 80% that is 6.18 * discordance / margin^2.
    """
    return math.ceil(_width(confidence, POWER) ** 2 * discordance / margin**2)


def _width(confidence: float, power: float) -> float:
    z = NormalDist().inv_cdf
    return z(confidence) + z(power)
