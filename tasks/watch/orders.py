"""What the watchers of a target know together, and what they ordered."""

from typing import Any, Literal

from tasks.core.digest import sha256_json
from tasks.core.manifest import Frozen
from tasks.watch.decide import Action, Making
from tasks.watch.fingerprint import Fingerprint

ATTEMPTS = 3
"""Tries of an order whose run failed for something outside."""


class Order(Frozen):
    """A release that was ordered.

    Attributes:
        action: what for.
        reason: why, in words.
        making: what it is made of.
        parameters: of the release flow.
        attempt: counts from 1; more after something outside failed.
        status: `ordered` until its run has ended.
        run: id of the run that was seen last.
        outcome: why it failed.
    """

    action: Action
    reason: str
    making: Making
    parameters: dict[str, Any]
    attempt: int = 1
    status: Literal["ordered", "released", "failed"] = "ordered"
    run: str = ""
    outcome: str = ""

    @property
    def key(self) -> str:
        """Equal orders have the equal key, so that submitting one twice makes one run."""
        content = [self.action, self.parameters, self.making.engine, self.attempt]
        return f"watch-{sha256_json(content)}"


class Released(Frozen):
    """The last release.

    Attributes:
        making: what it was made of.
        release_id: its name.
        archive: its address in S3.
        revision: its commit on the Hub.
    """

    making: Making
    release_id: str
    archive: str
    revision: str


class State(Frozen):
    """What is known of a target.

    Attributes:
        base: repository of the base.
        seen: the base's commit that was looked at last.
        order: the last order.
        released: the last release that was made on order.
    """

    base: str
    seen: Fingerprint | None = None
    order: Order | None = None
    released: Released | None = None


class Known(Frozen):
    """A state as it was read, and the object's entity tag; empty where there was none."""

    target: str
    state: State
    etag: str = ""


Standing = Literal["requantize", "metadata", "revalidate", "nothing", "wait", "stuck", "unseen"]


class Finding(Frozen):
    """What was found of one base.

    Attributes:
        base: its repository; of an author that could not be listed, the name.
        target: repository of the release.
        action: what it asks for; `wait` while a release is on its way, `stuck` after one failed
            and nothing changed since, `unseen` where the Hub did not tell.
        reason: why, in words.
        seen: the base's commit; None where the Hub was not asked.
        known: what was known of the target; None where the base is unseen.
        order: the release to order, or the one that is on its way or failed.
    """

    base: str
    target: str
    action: Standing
    reason: str
    seen: Fingerprint | None = None
    known: Known | None = None
    order: Order | None = None
