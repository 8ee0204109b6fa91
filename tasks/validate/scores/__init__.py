"""Scores of base and candidate on tasks, taken by lm-eval and paired item by item."""
