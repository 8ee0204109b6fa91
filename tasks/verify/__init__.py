"""Verify a release from its signature on: in a folder, on the Hub, in the archive."""
