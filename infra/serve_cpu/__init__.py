"""What a machine without an accelerator needs added to its environments."""
