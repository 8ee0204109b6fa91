"""Puts the small base model and the demo's data on the Hub stand-in, once.

    python -m infra.local.seed FOLDER

Builds both in FOLDER unless they lie there, and uploads them to the Hub of the environment. What
was uploaded is tagged with its digest; where the tag is there nothing is done, so that commits made
since are kept.
"""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from huggingface_hub import HfApi

from infra.local.base_model import layout as parts
from tasks.core.digest import sha256_file, sha256_json
from tasks.core.manifest import relative_files

MODEL = "roundhouse/gemma-4-tiny-it"
DATA = "roundhouse/demo-data"
SOURCE = Path(__file__).parent / "base_model"
COPIED = ("calibration.jsonl", "heldout.jsonl", "SOURCES.md")
IMAGES = "calibration_images.jsonl"
CARD = """---
license: other
language: en
---
# Demo data

Calibration chats and texts, rows with an image, and held-out texts for the demo. SOURCES.md says
where they come from and under which licences.
"""


def main(folder: Path) -> None:
    """Build and upload what is not there yet."""
    api = HfApi()
    digest = _source_digest()
    _seed(api, MODEL, "model", folder / "model", digest, _build_model)
    _seed(api, DATA, "dataset", folder / "data", digest, _build_data)


def _seed(
    api: HfApi, repo: str, kind: str, folder: Path, source: str, build: Callable[[Path], None]
) -> None:
    stamp = folder.with_suffix(".built")
    if not stamp.is_file() or stamp.read_text() != source:
        shutil.rmtree(folder, ignore_errors=True)
        build(folder)
        stamp.write_text(source)
    api.create_repo(repo, repo_type=kind, exist_ok=True)
    tag = f"seed-{_folder_digest(folder)[:12]}"
    if tag in {ref.name for ref in api.list_repo_refs(repo, repo_type=kind).tags}:
        return
    message = "Put the demo's data" if kind == "dataset" else "Put the small base model"
    commit = api.upload_folder(
        repo_id=repo, repo_type=kind, folder_path=folder, commit_message=message
    )
    api.create_tag(repo, repo_type=kind, tag=tag, revision=commit.oid)


def _build_model(folder: Path) -> None:
    from infra.local.base_model.build import build, build_trained

    if parts.WEIGHTS.exists():
        build_trained(folder)
    else:
        build(folder)


def _build_data(folder: Path) -> None:
    """Copy the committed data; rows with an image name its place in the repository."""
    shutil.copytree(parts.ASSETS / "images", folder / "images")
    for name in COPIED:
        shutil.copyfile(parts.ASSETS / name, folder / name)
    rows = (parts.ASSETS / IMAGES).read_text().splitlines()
    (folder / "images.jsonl").write_text("".join(map(_image_row, rows)))
    (folder / "README.md").write_text(CARD)


def _image_row(line: str) -> str:
    row = json.loads(line)
    (name,) = row.pop("images")
    return json.dumps(row | {"image": f"images/{name}"}) + "\n"


def _source_digest() -> str:
    files = (p for p in SOURCE.rglob("*") if p.is_file() and p.suffix != ".pyc")
    return sha256_json({str(p.relative_to(SOURCE)): sha256_file(p) for p in files})


def _folder_digest(folder: Path) -> str:
    return sha256_json({name: sha256_file(folder / name) for name in relative_files(folder)})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
