"""What was done to a candidate that the gate refused; its card and its report tell of it."""

from tasks.core.manifest import Frozen


def repair_stage(attempt: int) -> str:
    """Name of the stage that makes an attempt at repair."""
    return f"repair-{attempt}"


class KeptLayers(Frozen):
    """Layers that a repair left as the base has them; those that vLLM fuses go together.

    Attributes:
        modules: their full names.
        bytes: by which the checkpoint grew.
        gain: mean KL that restoring them alone takes away, nats a token.
    """

    modules: tuple[str, ...]
    bytes: int
    gain: float


class RepairStep(Frozen):
    """What was done to a candidate that the gate refused.

    Attributes:
        attempt: its number, from 1.
        refusal: what the gate found before it.
        engine: what measured the layers.
        kept: the layers that were kept, the most harmful first.
        considered: groups of layers that were measured.
        tokens: positions they were measured on.
        kl_before: mean KL there, before.
        kl_after: and with the layers kept.
        bytes_before: of the weights, before.
        bytes_after: and after.
    """

    attempt: int
    refusal: str
    engine: str
    kept: tuple[KeptLayers, ...]
    considered: int
    tokens: int
    kl_before: float
    kl_after: float
    bytes_before: int
    bytes_after: int
