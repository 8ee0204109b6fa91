"""What a stage does: one room a stage, the vocabulary in core, the outside world in clients."""
