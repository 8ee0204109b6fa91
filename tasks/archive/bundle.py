"""What is archived of a release, and under which names.

checkpoint/     the repository as it stands on the Hub: weights, card, evidence, provenance
records/        the record of each stage
recipe.json     every choice
calibration/    the calibration set and its provenance
evidence/       all that validation found
quantizer/      what the quantizer wrote besides weights: its own config
logs/           of the children that quantized and served
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

from tasks.core.archived import CHECKPOINT
from tasks.core.digest import indented_json
from tasks.core.manifest import FileRecord, StageRecord
from tasks.core.published import WEIGHTS
from tasks.core.recipe import Recipe
from tasks.core.records import ConvertRecord, Release, UploadRecord

Bundle = dict[str, tuple[Path, FileRecord]]
"""Path in the archive: the local file, and what it is recorded to be."""


def collect(release: Release, upload: UploadRecord, *, logs: Path, made: Path) -> Bundle:
    """Everything needed to verify the release and to make it again.

    Args:
        release: what the stages said; the base itself is named by its digests, not kept.
        upload: the release's documents.
        logs: folder of the stages' logs.
        made: folder in which records and recipe are written down.
    """
    convert, quantize = release.convert, release.quantize
    released = {file.sha256 for file in convert.files}
    own = [f for f in quantize.files if not f.path.endswith(WEIGHTS) and f.sha256 not in released]
    _write_down((*release.stages, upload), release.recipe, made)
    return dict(
        [
            *_below(CHECKPOINT, convert.path, convert.files),
            *_below(CHECKPOINT, upload.path, upload.files),
            *_below("calibration/", release.calibrate.path, release.calibrate.files),
            *_below("evidence/", release.validate.path, release.validate.files),
            *_below("quantizer/", quantize.path, own),
            *_found("", made, "**/*.json"),
            *_found("logs/", logs, "**/*.log"),
        ]
    )


def _below(
    prefix: str, folder: Path, files: Iterable[FileRecord]
) -> Iterator[tuple[str, tuple[Path, FileRecord]]]:
    for file in files:
        yield f"{prefix}{file.path}", (folder / file.path, file)


def _found(
    prefix: str, folder: Path, pattern: str
) -> Iterator[tuple[str, tuple[Path, FileRecord]]]:
    paths = sorted(path for path in folder.glob(pattern) if path.is_file())
    return _below(prefix, folder, [FileRecord.of(folder, path) for path in paths])


def _write_down(stages: Iterable[StageRecord], recipe: Recipe, made: Path) -> None:
    """Records without the folder, which means nothing on another machine."""
    (made / "records").mkdir(parents=True, exist_ok=True)
    for record in stages:
        portable = record.model_copy(update={"folder": ""})
        stage = "convert" if isinstance(record, ConvertRecord) else record.stage
        path = made / "records" / f"{stage}.json"
        path.write_text(indented_json(portable))
    (made / "recipe.json").write_text(indented_json(recipe))
