"""Which files lie in the folder: nothing that runs, nothing left over, the base's where they must.

Source of the forbidden kinds: pickle and code run when they are loaded, and `auto_map` names code.
"""

import filecmp
import json
from pathlib import Path, PurePosixPath

from tasks.core.companions import companion_files
from tasks.core.gate_records import Check
from tasks.core.manifest import relative_files
from tasks.validate.lint_findings import verdict

ALLOWED = {
    "", ".csv", ".html", ".jinja", ".jpg", ".json", ".jsonl", ".md", ".model", ".pem", ".pdf",
    ".png", ".safetensors", ".sig", ".svg", ".txt", ".yaml", ".yml",
}  # fmt: skip
LEFTOVER = "quantization_config.json"
"""AutoRound writes its settings here too, and some readers prefer them to config.json's."""


def check(candidate: Path, base: Path | None) -> list[Check]:
    """The checks `files.kinds`, `files.code`, `files.leftover` and, with a base, `files.base`."""
    files = list(relative_files(candidate))
    checks = [
        verdict(
            "files.kinds",
            [name for name in files if PurePosixPath(name).suffix.lower() not in ALLOWED],
            required="safetensors, JSON and text: no pickle, no code",
            seen=f"{len(files)} files",
        ),
        verdict(
            "files.code",
            _code_complaints(candidate, files),
            required="no auto_map, and JSON that can be read",
            seen="none",
        ),
        verdict(
            "files.leftover",
            [f"{LEFTOVER} lies beside config.json"] if LEFTOVER in files else [],
            required=f"no {LEFTOVER}: config.json alone says how the model is quantized",
            seen="none",
        ),
    ]
    return checks if base is None else [*checks, _companions(candidate, base)]


def _code_complaints(folder: Path, files: list[str]) -> list[str]:
    complaints = []
    for name in files:
        if not name.endswith(".json"):
            continue
        try:
            value = json.loads((folder / name).read_bytes())
        except (ValueError, RecursionError):
            complaints.append(f"{name} is not JSON")
            continue
        if isinstance(value, dict) and "auto_map" in value:
            complaints.append(f"{name} has auto_map")
    return complaints


def _companions(candidate: Path, base: Path) -> Check:
    theirs, ours = set(companion_files(base)), set(companion_files(candidate))
    complaints = [f"{name} is missing" for name in sorted(theirs - ours)]
    complaints += [f"{name} is not the base's" for name in sorted(ours - theirs)]
    complaints += [
        f"{name} was changed"
        for name in sorted(ours & theirs)
        if not filecmp.cmp(candidate / name, base / name, shallow=False)
    ]
    return verdict(
        "files.base",
        complaints,
        required="the base's tokenizer, template, processor, generation and licence files",
        seen=f"{len(theirs)} files equal",
    )
