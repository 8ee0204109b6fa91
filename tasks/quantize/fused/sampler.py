"""Which samples each iteration of a block looks at."""

import random
from collections.abc import Iterator


def batches(samples: int, size: int, seed: str) -> Iterator[list[int]]:
    """Shuffled batches without end, as AutoRound's `IndexSampler` draws them.

    It draws from the global random state, so that a block's batches depend on the blocks before it.
    Here they depend on the seed alone, and a block can be tuned again by itself.

    Args:
        samples: how many there are.
        size: of a batch; what is left of the samples at the end of a round is passed over.
        seed: of the shuffles.
    """
    rng = random.Random(seed)  # noqa: S311 - no secret
    order = list(range(samples))
    while True:
        rng.shuffle(order)
        for start in range(0, samples - size + 1, size):
            yield order[start : start + size]


def block_seed(seed: int, block: str) -> str:
    """Seed of one block's sampler."""
    return f"{seed} {block}"
