"""The model card, with its scores where the model was trained."""

import json
from string import Template

from infra.local.base_model import layout


def random_card(seed: int) -> str:
    """Fill the card of a model that has learnt nothing."""
    return _fill(f"The weights are random (seed {seed}): the model has learnt nothing.")


def trained_card() -> str:
    """Fill the card from ``assets/scores.json``."""
    return _fill(json.loads(layout.SCORES.read_text(encoding="utf-8")))


def _fill(about: str) -> str:
    return Template(layout.CARD.read_text(encoding="utf-8")).substitute(about=about)
