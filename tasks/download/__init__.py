"""Fetch the base at its pinned commit, every file verified."""
