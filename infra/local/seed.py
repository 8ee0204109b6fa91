"""Puts the small base model and the demo's data on the Hub stand-in, once.

    python -m infra.local.seed FOLDER

Builds both in FOLDER unless they lie there, and uploads them to the Hub of the environment, the
model with a history. What was uploaded is tagged with its digest; where the tag is there nothing is
done, so that commits made since are kept.
"""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from huggingface_hub import CommitOperationAdd, HfApi

from infra.local.base_model import layout as parts
from infra.local.base_model.history import Step, history
from tasks.core.digest import sha256_file, sha256_json
from tasks.core.manifest import relative_files

MODEL = "roundhouse/gemma-4-tiny-it"
DATA = "roundhouse/demo-data"
SOURCE = Path(__file__).parent / "base_model"
COPIED = (
    "calibration.jsonl", "heldout.jsonl", "heldout_chats.jsonl", "task_chat.jsonl",
    "task_reasoning.jsonl", "task_recall.jsonl", "task_tools.jsonl", "SOURCES.md",
)  # fmt: skip
IMAGES = {  # name here: name in the repository, folder of the pictures
    "calibration_images.jsonl": ("images.jsonl", "images"),
    "task_image.jsonl": ("task_image.jsonl", "images_heldout"),
}
CARD = """---
license: other
language: en
---
# Demo data

Calibration chats and texts, rows with an image; for the gate held-out texts, and the items of tasks
(`task_*.jsonl`). SOURCES.md says where they come from and under which licences.
"""


def main(folder: Path) -> None:
    """Build and upload what is not there yet."""
    api = HfApi()
    digest = _source_digest()
    model, data = folder / "model", folder / "data"
    _build(model, digest, _build_model)
    seed(api, MODEL, "model", model, history(model))
    _build(data, digest, _build_data)
    seed(api, DATA, "dataset", data, [])


def _build(folder: Path, source: str, build: Callable[[Path], None]) -> None:
    stamp = folder.with_suffix(".built")
    if not stamp.is_file() or stamp.read_text() != source:
        shutil.rmtree(folder, ignore_errors=True)
        build(folder)
        stamp.write_text(source)


def seed(api: HfApi, repo: str, kind: str, folder: Path, steps: list[Step]) -> None:
    """Bring a repository to a folder's content, through the steps that were not made yet.

    Args:
        api: of the Hub.
        repo: the repository; made if missing.
        kind: model or dataset.
        folder: what `main` holds in the end.
        steps: commits that lead there; none makes one commit of it all.
    """
    api.create_repo(repo, repo_type=kind, exist_ok=True)
    tag = f"seed-{_folder_digest(folder)[:12]}"
    if tag in {ref.name for ref in api.list_repo_refs(repo, repo_type=kind).tags}:
        return
    made = {commit.title for commit in api.list_repo_commits(repo, repo_type=kind)}
    for step in steps:
        if step.title not in made:
            adding = [CommitOperationAdd(path, data) for path, data in step.files.items()]
            api.create_commit(repo, adding, repo_type=kind, commit_message=step.title)
    last = api.upload_folder(
        repo_id=repo, repo_type=kind, folder_path=folder, commit_message="Put what was built"
    )
    api.create_tag(repo, repo_type=kind, tag=tag, revision=last.oid)


def _build_model(folder: Path) -> None:
    from infra.local.base_model.build import build, build_trained

    if parts.WEIGHTS.exists():
        build_trained(folder)
    else:
        build(folder)


def _build_data(folder: Path) -> None:
    """Copy the committed data; rows with an image name its place in the repository."""
    folder.mkdir(parents=True)
    for name in COPIED:
        shutil.copyfile(parts.ASSETS / name, folder / name)
    for name, (target, pictures) in IMAGES.items():
        shutil.copytree(parts.ASSETS / pictures, folder / pictures)
        rows = (parts.ASSETS / name).read_text().splitlines()
        (folder / target).write_text("".join(_image_row(row, pictures) for row in rows))
    (folder / "README.md").write_text(CARD)


def _image_row(line: str, pictures: str) -> str:
    row = json.loads(line)
    (name,) = row.pop("images")
    return json.dumps(row | {"image": f"{pictures}/{name}"}) + "\n"


def _source_digest() -> str:
    files = (p for p in SOURCE.rglob("*") if p.is_file() and p.suffix != ".pyc")
    return sha256_json({str(p.relative_to(SOURCE)): sha256_file(p) for p in files})


def _folder_digest(folder: Path) -> str:
    return sha256_json({name: sha256_file(folder / name) for name in relative_files(folder)})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
