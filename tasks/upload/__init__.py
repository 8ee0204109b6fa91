"""Publish an accepted release on the Hub: one commit, one tag."""
