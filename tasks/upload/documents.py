"""What travels with the weights: card, recipe, provenance, evidence, and all files' digests."""

import json
import shutil
from pathlib import Path

import yaml

from tasks.core.digest import sha256_file
from tasks.core.manifest import relative_files
from tasks.upload.card import render
from tasks.upload.provenance import provenance
from tasks.upload.sources import CARD, EVIDENCE, PROVENANCE, RECIPE, SUMS, Sources


def write_documents(sources: Sources, folder: Path, hub_url: str) -> None:
    """Write the documents of a release into an empty folder.

    Args:
        sources: the records and the recipe.
        folder: takes README.md and the folder `roundhouse`.
        hub_url: address of the Hub, for links.

    Raises:
        InputError: a record's value cannot stand in a shell command.
    """
    for file in sources.evidence:
        target = folder / EVIDENCE / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(sources.validate.path / file.path, target)
    (folder / EVIDENCE).mkdir(parents=True, exist_ok=True)
    recipe = sources.recipe.model_dump(mode="json")
    (folder / RECIPE).write_text(yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True))
    statement = provenance(sources, hub_url)
    (folder / PROVENANCE).write_text(json.dumps(statement, indent=2, ensure_ascii=False) + "\n")
    (folder / CARD).write_text(render(sources, hub_url))
    (folder / SUMS).write_text(_sums(sources, folder))


def _sums(sources: Sources, folder: Path) -> str:
    """Lines as `sha256sum --check` reads them, of every file but this list."""
    digests = {file.path: file.sha256 for file in sources.convert.files}
    digests |= {path: sha256_file(folder / path) for path in relative_files(folder)}
    return "".join(f"{digest}  {path}\n" for path, digest in sorted(digests.items()))
