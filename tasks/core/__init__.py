"""The vocabulary all rooms share. Light to import: no torch, no Prefect, no network client."""
