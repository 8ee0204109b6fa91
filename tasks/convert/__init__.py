"""From AutoRound's output and the base's files to the checkpoint that is served and released."""
