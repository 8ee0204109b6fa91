"""Names of a published release's files, on the Hub, on a disk, and below `checkpoint/` in S3.

Beside the model's own files stand a card, a signature and the folder `roundhouse`. Endings are
those by which other tools know such files: `.intoto.jsonl` and `.cdx.json`.
"""

WEIGHTS = ".safetensors"
CARD = "README.md"
CHANGELOG = "CHANGELOG.md"
SIGNATURE = "model.sig"
"""Covers every file but itself and git's own; the name is model-signing's."""
DOCUMENTS = "roundhouse"
"""Folder of the release that holds what is not the model."""
EVIDENCE = f"{DOCUMENTS}/evidence"
RECIPE = f"{DOCUMENTS}/recipe.yaml"
PROVENANCE = f"{DOCUMENTS}/provenance.intoto.jsonl"
BOM = f"{DOCUMENTS}/bom.cdx.json"
SUMS = f"{DOCUMENTS}/SHA256SUMS"
EVAL_RESULTS = ".eval_results/roundhouse.yaml"
"""Scores on registered benchmarks, where the Hub looks for them."""
GIT_OWN = (".git/", ".gitattributes", ".gitignore", ".github/")
"""What git and the Hub add, and model-signing leaves out of a signature."""


def is_git_own(path: str) -> bool:
    """Whether a file is git's own and belongs to no release."""
    return path.startswith((".git/", ".github/")) or path in GIT_OWN


def is_document(path: str) -> bool:
    """Whether a file of a release tells of the model and is not part of it."""
    return path in {CARD, CHANGELOG, SIGNATURE, EVAL_RESULTS} or path.startswith(f"{DOCUMENTS}/")
