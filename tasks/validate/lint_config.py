"""config.json against the NVFP4 scheme and against the base's.

The library's own schema takes a format it does not know and a group size of 32, so what NVFP4 in
W4A4 needs is spelled out here. Source: `CompressedTensorsConfig._is_nvfp4_format` of vLLM 0.32.
"""

import json
from pathlib import Path
from typing import Any

from tasks.core.gate_records import Check
from tasks.core.schemes import GROUP
from tasks.validate.lint_findings import verdict

CONFIG = "config.json"
KEY = "quantization_config"
FORMAT = "nvfp4-pack-quantized"
TOP = {"quant_method": "compressed-tensors", "format": FORMAT, "quantization_status": "compressed"}
ABSENT = ("kv_cache_scheme", "sparsity_config", "transform_config")
ARGUMENTS: dict[str, object] = {
    "num_bits": 4,
    "type": "float",
    "symmetric": True,
    "group_size": GROUP,
    "strategy": "tensor_group",
}
SCALE_DTYPES = (None, "torch.float8_e4m3fn")
_MISSING = "nothing"


def check(candidate: Path, base: Path | None) -> list[Check]:
    """The checks `config.scheme` and, with a base, `config.base`."""
    config = read_object(candidate / CONFIG)
    checks = [
        verdict(
            "config.scheme",
            _scheme_complaints(config.get(KEY)),
            required="compressed-tensors, NVFP4 for weights and activations of Linear",
            seen=f"{FORMAT}, group size {GROUP}, W4A4",
        )
    ]
    if base is not None:
        original = read_object(base / CONFIG)
        differing = sorted(
            key
            for key in (config.keys() | original.keys()) - {KEY}
            if config.get(key, _MISSING) != original.get(key, _MISSING)
        )
        checks.append(
            verdict(
                "config.base",
                [f"{key} differs" for key in differing],
                required=f"the base's config.json but for {KEY}",
                seen="equal",
            )
        )
    return checks


def quantization_settings(folder: Path) -> dict[str, Any]:
    """The checkpoint's `quantization_config`, empty where there is none."""
    settings = read_object(folder / CONFIG).get(KEY)
    return settings if isinstance(settings, dict) else {}


def read_object(path: Path) -> dict[str, Any]:
    """A JSON file's mapping, empty where there is none to read."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _scheme_complaints(settings: Any) -> list[str]:
    if not isinstance(settings, dict):
        return [f"{CONFIG} has no {KEY}"]
    complaints = [
        _expected(key, value, settings.get(key, _MISSING))
        for key, value in TOP.items()
        if settings.get(key) != value
    ]
    complaints += [f"{key} is set" for key in ABSENT if settings.get(key)]
    groups = settings.get("config_groups")
    if not isinstance(groups, dict) or not groups:
        return [*complaints, "there are no config_groups"]
    for name, group in groups.items():
        complaints += [f"{name}: {text}" for text in _group_complaints(group)]
    return complaints


def _group_complaints(group: Any) -> list[str]:
    if not isinstance(group, dict):
        return [f"is {group!r:.40}, no mapping"]
    complaints = []
    if group.get("targets") != ["Linear"]:
        complaints.append(_expected("targets", ["Linear"], group.get("targets")))
    if group.get("format") not in (None, FORMAT):
        complaints.append(_expected("format", FORMAT, group["format"]))
    if group.get("output_activations"):
        complaints.append("output_activations is set")
    for key, dynamic in (("weights", False), ("input_activations", "local")):
        wanted = ARGUMENTS | {"dynamic": dynamic}
        complaints += [f"{key}: {text}" for text in _argument_complaints(group.get(key), wanted)]
    return complaints


def _argument_complaints(arguments: Any, wanted: dict[str, object]) -> list[str]:
    if not isinstance(arguments, dict):
        return ["missing"]
    complaints = [
        _expected(key, value, arguments.get(key, _MISSING))
        for key, value in wanted.items()
        if arguments.get(key, _MISSING) != value
    ]
    if arguments.get("scale_dtype") not in SCALE_DTYPES:
        complaints.append(_expected("scale_dtype", SCALE_DTYPES[1], arguments["scale_dtype"]))
    if arguments.get("actorder"):
        complaints.append("actorder is set")
    return complaints


def _expected(key: str, wanted: object, found: object) -> str:
    return f"{key} is {found!r}, not {wanted!r}"
