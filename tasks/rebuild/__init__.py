"""Make a release again from its provenance, and compare the bytes."""
