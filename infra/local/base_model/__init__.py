"""The demo's base model: a small Gemma 4 that is built, trained and measured here."""
