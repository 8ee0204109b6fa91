"""Put measurements of a card into docs/performance.md: `python -m tests.bench.gpu_page [FILE ..]`.

The files are what `tests.bench.gpu` wrote on the card, kept in docs/measurements.
"""

import json
import sys
from pathlib import Path
from typing import Any

from tests.bench.gpu import table_of_parts, table_of_runs
from tests.bench.page import named, put

KEPT = sorted(Path("docs/measurements").glob("gpu-*.json"))


def main() -> None:
    """Write the page's place."""
    files = [Path(name) for name in sys.argv[1:]] or KEPT
    put("gpu", "\n".join(_shown(json.loads(file.read_text())) for file in files))


def _shown(result: dict[str, Any]) -> str:
    parts = table_of_parts(result)
    cap = f"Under a cap of {result['cap']:g} GB (`--cap`):\n\n" if "cap" in result else ""
    table = table_of_runs(result) + (f"\n{parts}" if parts else "")
    return named(result["machine"]) + cap + table


if __name__ == "__main__":
    main()
