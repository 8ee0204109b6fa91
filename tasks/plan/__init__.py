"""Refuse early what cannot work, and say what a release will take."""
