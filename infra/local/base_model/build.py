"""Build the base model's folder, as a release on the Hub would hold it.

``python -m infra.local.base_model.build DIR`` takes the trained weights; ``--random`` takes
random ones. The same arguments give the same bytes.
"""

import argparse
import shutil
from pathlib import Path
from typing import Any

from infra.local.base_model import architecture, card, layout, outliers
from infra.local.base_model.processor import processor


def build(folder: Path, seed: int = 0, layers: int = 8) -> None:
    """Write a model of ``layers`` decoder layers with random weights from ``seed``."""
    _assemble(folder, architecture.random_model(seed, layers), card.random_card(seed))


def build_trained(folder: Path) -> None:
    """Write the trained model, with the outlier channels of a large one.

    Raises:
        FileNotFoundError: no weights have been committed.
    """
    model = architecture.trained_model(layout.WEIGHTS)
    outliers.introduce(model)
    _assemble(folder, model, card.trained_card())


def _assemble(folder: Path, model: Any, readme: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    architecture.save(model, folder)
    processor().save_pretrained(folder)
    (folder / "README.md").write_text(readme, encoding="utf-8")
    shutil.copyfile(layout.LICENCE, folder / "LICENSE")
    shutil.copyfile(layout.SOURCES, folder / "SOURCES.md")


def main() -> None:
    """Parse the command line and build."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--random", action="store_true", help="random weights, not the trained")
    parser.add_argument("--seed", type=int, default=0, help="of the random weights")
    parser.add_argument("--layers", type=int, default=8, help="of the random model")
    arguments = parser.parse_args()
    if arguments.random:
        build(arguments.folder, arguments.seed, arguments.layers)
    else:
        build_trained(arguments.folder)


if __name__ == "__main__":
    main()
