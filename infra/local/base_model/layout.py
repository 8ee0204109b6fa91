"""Where the committed parts of the base model lie."""

from pathlib import Path

ASSETS = Path(__file__).parent / "assets"
TOKENIZER = ASSETS / "tokenizer"
CHAT_TEMPLATE = ASSETS / "chat_template.jinja"
CARD = ASSETS / "card.md"
SOURCES = ASSETS / "SOURCES.md"
WEIGHTS = ASSETS / "weights"
SCORES = ASSETS / "scores.json"
TRAINING = ASSETS / "training.jsonl"
LICENCE = Path(__file__).parents[3] / "LICENSE"
