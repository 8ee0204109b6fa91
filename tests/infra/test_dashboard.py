"""The Grafana dashboard: read as Grafana's own types, about metrics that there are."""

import json
import re
from pathlib import Path
from typing import Any

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard
from prefect.client.orchestration import get_client
from prefect.testing.utilities import prefect_test_harness
from prometheus_client import CollectorRegistry, generate_latest

from flows.metrics import Releases

FILE = Path(__file__).resolve().parents[2] / "infra" / "grafana" / "roundhouse.json"
METRIC = re.compile(r"roundhouse_\w+")


def _missing(given: Any, known: Any, at: str = "") -> list[str]:
    """Places of values that Grafana's types do not know, or know as something else."""
    if isinstance(given, dict):
        known = known if isinstance(known, dict) else {}
        pairs = [(given[key], known.get(key), f"{at}.{key}") for key in given]
    elif isinstance(given, list):
        known = known if isinstance(known, list) else []
        padded = [*known, *[None] * (len(given) - len(known))]
        pairs = [(g, k, f"{at}[{n}]") for n, (g, k) in enumerate(zip(given, padded, strict=False))]
    else:
        return [] if given == known else [at]
    return [each for g, k, place in pairs for each in _missing(g, k, place)]


def test_grafana_knows_every_key() -> None:
    """What Grafana's own types read from the file is all of it; a misspelt key would be lost."""
    register_default_plugins()
    given = json.loads(FILE.read_text())
    read = json.loads(JSONEncoder().encode(Dashboard.from_json(given)))
    assert _missing(given, read) == []
    given["panels"][0]["fieldConfig"]["defaults"]["unitt"] = "s"
    read = json.loads(JSONEncoder().encode(Dashboard.from_json(given)))
    assert _missing(given, read) == [".panels[0].fieldConfig.defaults.unitt"]


def test_panels_ask_for_metrics_that_are_told() -> None:
    """Each metric of a panel is one that a server is scraped for, and each of those has a panel."""
    with prefect_test_harness(server_startup_timeout=120), get_client(sync_client=True) as client:
        registry = CollectorRegistry()
        registry.register(Releases(client))
        told = set(re.findall(r"^# HELP (\w+)", generate_latest(registry).decode(), re.MULTILINE))
    panels = json.loads(FILE.read_text())["panels"]
    asked = {m for p in panels for t in p["targets"] for m in METRIC.findall(t["expr"])}
    assert asked == told
