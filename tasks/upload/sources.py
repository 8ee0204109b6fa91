"""The records a release is told from, together."""

from collections.abc import Iterable
from dataclasses import dataclass

from tasks.core.manifest import FileRecord, StageRecord
from tasks.core.recipe import Recipe
from tasks.core.records import (
    CalibrateRecord,
    ConvertRecord,
    DownloadRecord,
    PlanRecord,
    QuantizeRecord,
    ValidateRecord,
)

WEIGHTS = ".safetensors"
DOCUMENTS = "roundhouse"
"""Folder of the release that holds what is not the model."""
EVIDENCE = f"{DOCUMENTS}/evidence"
RECIPE = f"{DOCUMENTS}/recipe.yaml"
PROVENANCE = f"{DOCUMENTS}/provenance.json"
SUMS = f"{DOCUMENTS}/SHA256SUMS"
CARD = "README.md"


@dataclass(frozen=True)
class Sources:
    """What every stage before the upload said, and the recipe."""

    plan: PlanRecord
    download: DownloadRecord
    calibrate: CalibrateRecord
    quantize: QuantizeRecord
    convert: ConvertRecord
    validate: ValidateRecord
    recipe: Recipe

    @property
    def stages(self) -> tuple[StageRecord, ...]:
        """The records in the order of the stages."""
        return (
            self.plan,
            self.download,
            self.calibrate,
            self.quantize,
            self.convert,
            self.validate,
        )

    @property
    def base_weights(self) -> list[FileRecord]:
        """The base's shards."""
        return weights(self.download.files)

    @property
    def evidence(self) -> list[FileRecord]:
        """What validation leaves that is published: everything but tensors."""
        return [file for file in self.validate.files if not file.path.endswith(WEIGHTS)]


def weights(files: Iterable[FileRecord]) -> list[FileRecord]:
    """Those files that are shards."""
    return [file for file in files if file.path.endswith(WEIGHTS)]
