"""Does the gate tell honest candidates from sabotaged ones? `python -m tests.bench.sabotage DIR`.

Each seed calibrates a candidate of the trained demo base on other rows and is judged on other
held-out texts, without a server; each kind of sabotage is done to that candidate, which is rounded
to nearest. The kind `tuned` is honest too, and tuned as the demo tunes. `--vllm` judges one
candidate of each kind as a release is judged, by the whole gate with its servers. `--kinds tuned`
measures that kind alone; `--page` lets the rows join the docs' tables. A run that was cut goes on
with what is in DIR, which is of one state of the tree: candidates are not tuned again.
"""

import argparse
from pathlib import Path

import numpy as np

from tests.bench.sabotage import once, seeds
from tests.bench.sabotage.kinds import SHORT


def main() -> None:
    """Judge what the command line names."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument(
        "--kinds", nargs="+", choices=SHORT, default=list(SHORT), metavar="KIND",
        help="one or more of: " + "; ".join(SHORT),
    )  # fmt: skip
    parser.add_argument("--vllm", action="store_true", help="once each, through vLLM")
    parser.add_argument("--page", action="store_true", help="let the rows join the docs' tables")
    chosen = parser.parse_args()
    folder = chosen.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    kinds = [SHORT[kind] for kind in chosen.kinds]
    if chosen.vllm:
        once.run(folder, kinds, page=chosen.page)
        return
    np.seterr(all="raise", under="ignore")
    seeds.run(folder, chosen.seeds, kinds, page=chosen.page)


if __name__ == "__main__":
    main()
