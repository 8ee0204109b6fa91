"""Quantize: AutoRound tunes and packs the weights, in a child process of its own."""
