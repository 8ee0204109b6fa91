"""Hub stand-in: a local server that speaks the Hugging Face Hub's HTTP protocol.

An unmodified ``huggingface_hub`` client works against it: repositories, commits, branches, tags,
LFS (basic and multipart) and Xet uploads, resumable downloads, private and gated repositories.
Start it with ``python -m infra.local.hub --root DIR --port N``.
"""
