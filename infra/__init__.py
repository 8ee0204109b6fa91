"""Where it runs: the embedded stack, locks, pools, images."""
