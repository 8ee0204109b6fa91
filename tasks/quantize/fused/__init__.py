"""`tuner: fused`: SignRound for NVFP4 as an algorithm of our own, registered with AutoRound."""
