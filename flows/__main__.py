"""`python -m flows` is the `roundhouse` command."""

from flows.cli import main

main()
