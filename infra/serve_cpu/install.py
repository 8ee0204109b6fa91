"""Adds this folder's modules to an environment.

    python infra/serve_cpu/install.py hook PYTHON     torchvision's hook alone
    python infra/serve_cpu/install.py serve PYTHON    the hook and the plugin for vLLM

Uses nothing but the standard library and no network. The modules are copied beside the
environment's packages, with what an installer would write: a `.dist-info` that names the entry
point, so that vLLM finds the plugin, and a `.pth` that loads the hook at start. Running it again
changes nothing.
"""

import subprocess
import sys
import tomllib
from pathlib import Path

HERE = Path(__file__).parent
HOOK, PLUGIN = "roundhouse_torchvision", "roundhouse_serve_cpu"
PARTS = {"hook": (HOOK,), "serve": (HOOK, PLUGIN)}


def site_packages(python: Path) -> Path:
    """Where an environment keeps its packages."""
    ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
    found = subprocess.run([python, "-c", ask], check=True, capture_output=True, text=True)
    return Path(found.stdout.strip())


def files(part: str) -> dict[str, str]:
    """What is installed for a part: path below the packages to content."""
    content = {f"{module}.py": (HERE / f"{module}.py").read_text() for module in PARTS[part]}
    content[f"{HOOK}.pth"] = f"import {HOOK}\n"
    return content | _dist_info(list(content)) if PLUGIN in PARTS[part] else content


def _dist_info(installed: list[str]) -> dict[str, str]:
    about = tomllib.loads((HERE / "pyproject.toml").read_text())["project"]
    name, version = about["name"], about["version"]
    info = f"{name.replace('-', '_')}-{version}.dist-info"
    content = {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/INSTALLER": "roundhouse\n",
        f"{info}/entry_points.txt": "".join(
            f"[{group}]\n" + "".join(f"{key} = {target}\n" for key, target in entries.items())
            for group, entries in about["entry-points"].items()
        ),
    }
    record = [*installed, *content, f"{info}/RECORD"]
    return content | {f"{info}/RECORD": "".join(f"{path},,\n" for path in record)}


def install(part: str, python: Path) -> Path:
    """Write a part into the environment of `python`; returns the folder it lies in."""
    folder = site_packages(python)
    for path, content in files(part).items():
        target = folder / path
        target.parent.mkdir(exist_ok=True)
        target.write_text(content)
    return folder


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in PARTS:  # noqa: PLR2004 - program, part, Python
        sys.exit(__doc__)
    install(sys.argv[1], Path(sys.argv[2]))
