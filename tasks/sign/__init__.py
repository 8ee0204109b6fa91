"""Signatures over releases: made with the house's key, and checked with its public half."""
