"""Statistics of the gate: pure functions of numbers and a seed."""
