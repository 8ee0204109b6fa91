"""NVFP4 arithmetic on tensors."""
