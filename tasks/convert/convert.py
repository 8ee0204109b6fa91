"""Make the release's checkpoint folder out of AutoRound's output and the base's files.

Quantized tensors are AutoRound's bytes; every other tensor is the base's bytes (AutoRound may have
saved it as FP32), and so is every file beside the weights. Only config.json and the index are
written anew. No tensor is decoded, so nothing here needs torch.
"""

import json
import shutil
from pathlib import Path
from typing import Any

from tasks.convert.config import ignore_list, quantization_config
from tasks.convert.tensors import release_pieces
from tasks.core.checkpoint import Checkpoint
from tasks.core.checkpoint_writer import Piece, write_checkpoint
from tasks.core.companions import companion_files
from tasks.core.digest import indented_json, sha256_json
from tasks.core.errors import IntegrityError
from tasks.core.ignore import unquantized_linears
from tasks.core.progress import Reporter
from tasks.core.recipe import Recipe
from tasks.core.records import ConvertRecord, DownloadRecord, PlanRecord, QuantizeRecord
from tasks.core.schemes import quantized_modules
from tasks.core.workspace import Workspace
from tasks.core.workspace_shared import Shared

STAGE = "convert"
AUTOROUND_CONFIG = "roundhouse/autoround_config.json"


def run(
    plan: PlanRecord,
    download: DownloadRecord,
    quantize: QuantizeRecord,
    *,
    recipe: Recipe,
    home: Path,
    reporter: Reporter,
    shared: Shared | None = None,
) -> ConvertRecord:
    """Convert what AutoRound wrote, or hand out what an earlier run converted.

    Raises:
        QuantizeError: AutoRound's output is not what the recipe asks for.
        IntegrityError: a folder is not what its record says.
    """
    layout = {"keep": recipe.keep, "max_shard_bytes": recipe.max_shard_bytes}
    workspace = Workspace.of_release(home, plan.release_id, shared)
    bases = Workspace.of_base(home, plan.base, plan.commit, shared)
    return workspace.run(
        STAGE,
        ConvertRecord,
        {
            "download": download.digest,
            "quantize": quantize.digest,
            "recipe": sha256_json(layout),
        },
        lambda partial: build(
            partial, bases.here(download).path, workspace.here(quantize).path, recipe, reporter
        ),
    )


def build(
    folder: Path, base_folder: Path, output_folder: Path, recipe: Recipe, reporter: Reporter
) -> dict[str, object]:
    """Fill `folder` with the release's checkpoint; what it held before is removed.

    Args:
        folder: takes the checkpoint.
        base_folder: the base's files.
        output_folder: AutoRound's output, its `auto_round` format.
        recipe: says what is kept, and how large a shard may be.
        reporter: is told of the bytes that were written.

    Returns:
        The facts of a `ConvertRecord`.

    Raises:
        QuantizeError: AutoRound's output is not what the recipe asks for.
        IntegrityError: a folder holds no whole checkpoint.
    """
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    base, output = Checkpoint(base_folder), Checkpoint(output_folder)
    modules = quantized_modules(base.tensors, recipe)
    pieces = release_pieces(base, output, modules)
    ignore = ignore_list(recipe, unquantized_linears({p.name: p.spec for p in pieces}))
    write_checkpoint(folder, pieces, recipe.max_shard_bytes, _Meter(pieces, reporter))
    _write_configs(folder, base_folder, output_folder, ignore)
    _copy_companions(folder, base_folder)
    return {
        "quantized_modules": len(modules),
        "copied_tensors": sum(piece.name in base for piece in pieces),
        "weight_bytes": sum(path.stat().st_size for path in folder.glob("*.safetensors")),
        "ignore": ignore,
    }


class _Meter:
    """Tells a reporter how many of all bytes were written, at most a hundred times."""

    def __init__(self, pieces: list[Piece], reporter: Reporter) -> None:
        self._total = sum(piece.spec.nbytes for piece in pieces)
        self._reporter = reporter
        self._written = 0
        self._told = -1

    def __call__(self, size: int) -> None:
        self._written += size
        percent = 100 * self._written // max(self._total, 1)
        if percent > self._told:
            self._told = percent
            message = f"{self._written / 1e9:.1f} of {self._total / 1e9:.1f} GB written"
            self._reporter.update(self._written / max(self._total, 1), message)


def _write_configs(
    folder: Path, base_folder: Path, output_folder: Path, ignore: tuple[str, ...]
) -> None:
    """The release's config.json, and AutoRound's own settings for the record."""
    config = _read_json(base_folder / "config.json")
    config["quantization_config"] = quantization_config(ignore)
    _write_json(folder / "config.json", config)
    settings = _read_json(output_folder / "config.json").get("quantization_config")
    _write_json(folder / AUTOROUND_CONFIG, settings)


def _copy_companions(folder: Path, base_folder: Path) -> None:
    for name in companion_files(base_folder):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(base_folder / name, folder / name)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise IntegrityError(f"{path} cannot be read", found=str(error)) from None
    if not isinstance(value, dict):
        raise IntegrityError(f"{path} is no mapping", found=f"{value!r:.80}")
    return value


def _write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(indented_json(value))
