"""Kernels for a card, written in Triton, and what keeps the card busy between them."""
