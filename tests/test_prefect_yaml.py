"""prefect.yaml, checked strictly: Prefect itself accepts misspelt keys in silence."""

import importlib
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect import Flow
from prefect.cli.deploy._models import DeploymentConfig, PrefectYamlModel

ROOT = Path(__file__).parents[1]
CONFIG: dict[str, Any] = yaml.safe_load((ROOT / "prefect.yaml").read_text())
DEPLOYMENTS = CONFIG["deployments"]


def _flow(deployment: dict[str, Any]) -> Flow[..., Any]:
    module, _, name = deployment["entrypoint"].rpartition(".")
    found = getattr(importlib.import_module(module), name)
    assert isinstance(found, Flow)
    return found


def _name(deployment: dict[str, Any]) -> str:
    return f"{deployment['entrypoint'].rpartition('.')[2]}/{deployment['name']}"


def test_top_level_keys_are_known() -> None:
    """Every top-level key is one that Prefect reads."""
    known = {f.alias or n for n, f in PrefectYamlModel.model_fields.items()} | {"definitions"}
    assert not {k.replace("-", "_") for k in CONFIG} - {k.replace("-", "_") for k in known}


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=_name)
def test_deployment_keys_are_known(deployment: dict[str, Any]) -> None:
    """Every key of a deployment is one that Prefect reads."""
    assert not set(deployment) - set(DeploymentConfig.model_fields)


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=_name)
def test_entrypoints_import(deployment: dict[str, Any]) -> None:
    """Every entrypoint is a flow, and the name that run_stage uses is the flow's own."""
    assert _flow(deployment).name == deployment["entrypoint"].rpartition(".")[2]


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=_name)
def test_parameters_exist(deployment: dict[str, Any]) -> None:
    """Every default parameter is one of the flow's."""
    known = _flow(deployment).parameters.properties
    assert not set(deployment.get("parameters", {})) - set(known)


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=_name)
def test_pools_are_in_infra(deployment: dict[str, Any]) -> None:
    """Every work pool has a base job template in infra/pools."""
    assert (ROOT / "infra" / "pools" / f"{deployment['work_pool']['name']}-process.json").is_file()


def test_the_form_explains_itself() -> None:
    """Every field of the release form has a description; the recipe is a select."""
    release = next(d for d in DEPLOYMENTS if d["entrypoint"].endswith(".release"))
    schema = _flow(release).parameters.model_dump()
    for name, field in schema["properties"].items():
        assert field.get("description"), name
    assert schema["definitions"]["RecipeName"]["enum"]
