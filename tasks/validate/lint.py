"""The static check of an NVFP4 checkpoint: everything that can be seen without running it.

    config.*    what config.json says, against the scheme, the base and the serving library
    files.*     which files there are, and those that must be the base's
    shards.*    safetensors files and their index
    tensors.*   names, shapes, dtypes and bytes of all tensors, against the base
    modules.*   which layers are quantized
    scales.*    the values of the scales
    weights.*   a sample of decoded weights, against the base's

Every check runs and reports all it finds, so that one look shows all that must be mended. No GPU
and no torch; files are read in pieces, so memory stays bounded.
"""

from pathlib import Path

from tasks.core.checkpoint import Checkpoint
from tasks.core.errors import InputError, IntegrityError
from tasks.core.gate_records import Check
from tasks.core.progress import Reporter, Silent
from tasks.core.recipe import Recipe
from tasks.validate import (
    lint_config,
    lint_files,
    lint_modules,
    lint_scales,
    lint_schema,
    lint_shards,
    lint_tensors,
    lint_weights,
)


def lint(
    candidate: Path,
    base: Path | None,
    serve_python: Path,
    *,
    recipe: Recipe | None = None,
    reporter: Reporter | None = None,
) -> list[Check]:
    """Check a checkpoint folder; all that needs no other Python, then the library's schema.

    Args:
        candidate: the checkpoint's folder.
        base: the base's folder; without it only what the checkpoint says of itself is checked.
        serve_python: Python of the serving environment, whose compressed-tensors must accept the
            config.
        recipe: what should have been quantized; without it the shipped rule for what must not be.
        reporter: is told how far it is.

    Returns:
        Every check, those that hold and those that do not.

    Raises:
        InputError: a folder does not exist.
        IntegrityError: the base itself is broken.
    """
    reporter = reporter or Silent()
    checks = static_checks(candidate, base, recipe=recipe, reporter=reporter)
    reporter.update(0.95, "asking the serving library about the config")
    return [*checks, lint_schema.check(candidate, serve_python)]


def static_checks(
    candidate: Path, base: Path | None, *, recipe: Recipe | None, reporter: Reporter
) -> list[Check]:
    """All checks but the one that needs the serving environment."""
    for folder in (candidate, base):
        if folder is not None and not folder.is_dir():
            raise InputError(f"there is no folder {folder}", remedy="name a checkpoint's folder")
    reporter.update(0.0, "reading config and file list")
    checks = lint_config.check(candidate, base)
    checks += lint_files.check(candidate, base)
    checks += lint_shards.check(candidate, recipe)
    try:
        checkpoint = Checkpoint(candidate)
    except IntegrityError as error:
        missing = "readable shards and an index that agrees with them"
        return [*checks, Check(name="tensors", passed=False, seen=str(error), required=missing)]
    original = None if base is None else Checkpoint(base)
    return checks + _tensor_checks(checkpoint, original, recipe, reporter)


def _tensor_checks(
    candidate: Checkpoint, base: Checkpoint | None, recipe: Recipe | None, reporter: Reporter
) -> list[Check]:
    checks = lint_modules.check(candidate, base, recipe)
    checks += lint_tensors.check(candidate, base)
    reporter.update(0.1, "scanning scales")
    checks += lint_scales.check(candidate)
    if base is not None:
        reporter.update(0.4, "comparing unquantized tensors with the base")
        checks.append(lint_tensors.check_bytes(candidate, base))
        reporter.update(0.7, "decoding a sample of every quantized layer")
        checks.append(lint_weights.check(candidate, base))
    return checks
