"""What a change upstream asks for. Pure: no Hub, no clock.

weights, or the recipe's part that shapes them     requantize
files that a release copies from its base          metadata: a new release of the old weights
the recipe's other parts, or the serving engine    revalidate
anything else (prose)                              nothing
"""

from typing import Literal

from tasks.core.digest import sha256_json
from tasks.core.manifest import Frozen
from tasks.core.recipe import Recipe
from tasks.watch.fingerprint import Fingerprint

Action = Literal["requantize", "metadata", "revalidate", "nothing"]


class Making(Frozen):
    """What a release is made of and judged with.

    Attributes:
        base: the base's commit.
        shaping: digest of the recipe's parts that shape the weights.
        judging: digest of its other parts; keys at their defaults do not count in either.
        engine: serving engine and version; empty where it is not known, which is no change.
    """

    base: Fingerprint
    shaping: str
    judging: str
    engine: str

    @classmethod
    def of(cls, base: Fingerprint, recipe: Recipe, engine: str) -> "Making":
        """What a release of this commit with this recipe would be made of."""
        judging = recipe.model_dump(
            mode="json", include={"name", "validation"}, exclude_defaults=True
        )
        return cls(base=base, shaping=recipe.shaping, judging=sha256_json(judging), engine=engine)


class Decision(Frozen):
    """What to do, and why, in words."""

    action: Action
    reason: str


def decide(before: Making | None, now: Making) -> Decision:
    """What a base asks for.

    Args:
        before: what its last release was made of; None where there is none.
        now: what a release would be made of now.
    """
    if not now.base.weights:
        return Decision(action="nothing", reason="the base has no weights in safetensors")
    if before is None:
        return Decision(action="requantize", reason="there is no release of this base yet")
    changes = _changes(before, now)
    if not changes:
        return Decision(action="nothing", reason=_unchanged(before, now))
    reasons = "; ".join(reason for _, reason in changes)
    return Decision(action=changes[0][0], reason=reasons)


def _changes(before: Making, now: Making) -> list[tuple[Action, str]]:
    """What differs, what asks for most first."""
    since = f"since commit {before.base.commit[:8]}"
    engine = f"the serving engine is {now.engine}, not {before.engine}"
    served_anew = "" not in {before.engine, now.engine} and before.engine != now.engine
    rows: list[tuple[bool, Action, str]] = [
        (before.base.weights != now.base.weights, "requantize", f"the weights changed {since}"),
        (before.shaping != now.shaping, "requantize", "the recipe shapes the weights otherwise"),
        (
            before.base.behaviour != now.base.behaviour,
            "metadata",
            f"configuration, tokenizer, template or processor changed {since}; the weights did not",
        ),
        (before.judging != now.judging, "revalidate", "the recipe judges otherwise"),
        (served_anew, "revalidate", engine),
    ]
    return [(action, reason) for differs, action, reason in rows if differs]


def _unchanged(before: Making, now: Making) -> str:
    if before.base.commit == now.base.commit:
        return "nothing changed"
    return f"only prose changed since commit {before.base.commit[:8]}"
