"""Asks Helm whether the values of infra/helm are right.

    .venv/tools/bin/python -m infra.checks.charts                    offline, against our schemas
    .venv/tools/bin/python -m infra.checks.charts --charts FOLDER    and against the charts

The charts' own schemas let unknown keys pass in many places, among them those of passwords and
databases. Ours, in schemas/helm, are closed: they hold the keys that our values set and no other.
FOLDER holds the charts as `helm pull prefect/prefect-worker --untar --untardir FOLDER` lays them:
they are linted and rendered with our values.
"""

import argparse
import json
import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import helm_python as helm  # type: ignore[import-not-found]  # of .venv/tools alone

VALUES = Path(__file__).parents[1] / "helm"
SCHEMAS = Path(__file__).parent / "schemas" / "helm"
CHARTS = {
    "server": "prefect-server",
    "worker-cpu": "prefect-worker",
    "worker-gpu": "prefect-worker",
}
NAMESPACE = "roundhouse"


def against_schema(values: dict[str, Any], chart: str) -> list[str]:
    """What Helm finds wrong with values of a chart by our closed schema of it."""
    with TemporaryDirectory() as folder:
        about = {"apiVersion": "v2", "name": chart, "version": "0.0.0"}
        Path(folder, "Chart.yaml").write_text(json.dumps(about))
        shutil.copyfile(SCHEMAS / f"{chart}.json", Path(folder, "values.schema.json"))
        with helm.Chart.load(folder) as loaded:
            try:
                loaded.validate_schema(values)
            except helm.HelmValuesError as found:
                return [str(found)]
    return []


def against_chart(values: dict[str, Any], chart: Path, release: str) -> list[str]:
    """What Helm finds wrong when it lints and renders a chart with values.

    Helm 4 sends what it renders by server-side apply, which refuses a container that has two
    variables of one name, as it has when `env` repeats what the chart sets: found here too.
    """
    try:
        found = list(helm.lint(chart, values, namespace=NAMESPACE)["errors"])
        with helm.Chart.load(chart) as loaded:
            rendered = loaded.render(values, name=release, namespace=NAMESPACE)
    except helm.HelmError as error:
        return [str(error)]
    for path, text in rendered.items():
        if path.endswith(".yaml"):
            found += [f"{path}: {name} is set twice" for name in _twice(text)]
    return found


def _twice(text: str) -> list[str]:
    manifests = [helm.values_from_yaml(each) for each in text.split("\n---")]
    return [
        name
        for environment in _environments(manifests)
        for name, times in Counter(each["name"] for each in environment).items()
        if times > 1
    ]


def _environments(node: Any) -> Iterator[list[dict[str, Any]]]:
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    for child in children:
        yield from _environments(child)
    if isinstance(node, dict) and isinstance(node.get("env"), list):
        yield node["env"]


def main() -> int:
    """Says what is wrong, a line each; 1 if anything is."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m infra.checks.charts")
    parser.add_argument("--values", type=Path, default=VALUES, help="folder of the values")
    parser.add_argument("--charts", type=Path, help="folder of the unpacked charts")
    given = parser.parse_args()
    wrong = 0
    for name, chart in CHARTS.items():
        path = given.values / f"{name}.yaml"
        values = helm.values_from_yaml(path.read_text())
        found = against_schema(values, chart)
        if given.charts:
            found += against_chart(values, given.charts / chart, name)
        for each in found:
            sys.stderr.write(f"{path}: {each}\n")
        wrong += len(found)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
