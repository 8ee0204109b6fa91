"""Adds this folder's two modules to an environment: `python infra/serve_cpu/install.py PYTHON`.

Needs nothing but the standard library, since it runs before any environment is whole. The two
modules are copied beside the environment's packages, with what an installer would write: a
`.dist-info` that names the entry point, so that vLLM finds the plugin, and a `.pth` that loads the
torchvision hook at start. Running it again changes nothing.
"""

import subprocess
import sys
import tomllib
from pathlib import Path

HERE = Path(__file__).parent
HOOK = "roundhouse_torchvision"


def site_packages(python: Path) -> Path:
    """Where an environment keeps its packages."""
    ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
    return Path(
        subprocess.run([python, "-c", ask], check=True, capture_output=True, text=True).stdout.strip()
    )


def files() -> dict[str, str]:
    """What is installed: path below the packages to content."""
    project = tomllib.loads((HERE / "pyproject.toml").read_text())
    about, modules = project["project"], project["tool"]["setuptools"]["py-modules"]
    info = f"{about['name'].replace('-', '_')}-{about['version']}.dist-info"
    content = {f"{module}.py": (HERE / f"{module}.py").read_text() for module in modules}
    content[f"{HOOK}.pth"] = f"import {HOOK}\n"
    content[f"{info}/METADATA"] = (
        f"Metadata-Version: 2.1\nName: {about['name']}\nVersion: {about['version']}\n"
    )
    content[f"{info}/entry_points.txt"] = "".join(
        f"[{group}]\n" + "".join(f"{name} = {target}\n" for name, target in entries.items())
        for group, entries in about["entry-points"].items()
    )
    content[f"{info}/INSTALLER"] = "roundhouse\n"
    content[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in [*content, f"{info}/RECORD"])
    return content


def install(python: Path) -> Path:
    """Write the files into the environment of `python`; returns the folder they lie in."""
    folder = site_packages(python)
    for path, content in files().items():
        target = folder / path
        target.parent.mkdir(exist_ok=True)
        target.write_text(content)
    return folder


if __name__ == "__main__":
    if len(sys.argv) != 2:  # noqa: PLR2004 - the program and one argument
        sys.exit(f"usage: {sys.argv[0]} PYTHON")
    print(install(Path(sys.argv[1])))  # noqa: T201 - its whole output
