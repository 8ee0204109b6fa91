"""Asks the compressed-tensors beside it whether a config is one; run in the serving environment.

    python -m tasks.validate.schema_probe CONFIG_JSON

Prints one line of JSON: the library's version, and what is wrong (empty for nothing).
"""

import json
import sys
from importlib.metadata import version
from pathlib import Path

from compressed_tensors.quantization import QuantizationConfig


def complaint(path: Path) -> str:
    """What the library has against the `quantization_config` of a config.json."""
    try:
        config = json.loads(path.read_bytes())
        QuantizationConfig.model_validate(config["quantization_config"])
    except Exception as error:  # noqa: BLE001 - validators raise what they like
        return f"{type(error).__name__}: {error}"
    return ""


if __name__ == "__main__":
    answer = {"version": version("compressed-tensors"), "error": complaint(Path(sys.argv[1]))}
    sys.stdout.write(json.dumps(answer) + "\n")
