"""What runs Roundhouse on many machines, checked without any by tools and Prefect's classes."""

import asyncio
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import kubernetes_validate
import pytest
import yaml
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.settings import Settings as PrefectSettings
from prefect.settings.legacy import _get_valid_setting_names
from prefect_docker.worker import DockerWorkerJobConfiguration
from prefect_kubernetes.settings import KubernetesWorkerSettings
from prefect_kubernetes.worker import KubernetesWorkerJobConfiguration

from infra.bootstrap import TYPES, template
from infra.local.credentials import load_or_make
from infra.local.layout import Layout
from infra.local.pools import POOLS
from infra.local.ports import choose
from infra.local.workers import APART, workers
from tasks.core.settings import Settings

INFRA = Path(__file__).resolve().parents[2] / "infra"
NOWHERE = "http://127.0.0.1:9/api"
KUBERNETES = ("1.32", "1.37")
INTEGRATION = "PREFECT_INTEGRATIONS_KUBERNETES_WORKER_"
REDIS = re.compile(r"PREFECT_REDIS_MESSAGING_(HOST|PORT)")
"""Of the package prefect-redis, which the server alone has."""


def _job(pool: str, **values: Any) -> dict[str, Any]:
    """The manifest that a Kubernetes worker would send for a run."""
    made = asyncio.run(
        KubernetesWorkerJobConfiguration.from_template_and_values(
            template(pool, "kubernetes"), values, client=PrefectClient(NOWHERE)
        )
    )
    made.prepare_for_flow_run(FlowRun(flow_id=uuid4(), name="quantize demo-1"))
    manifest: dict[str, Any] = made.job_manifest
    return manifest


def _container(manifest: dict[str, Any]) -> dict[str, Any]:
    (container,) = manifest["spec"]["template"]["spec"]["containers"]
    return dict(container)


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize("pool", POOLS)
def test_runs_become_valid_jobs(pool: str, version: str) -> None:
    """Rendered through Prefect's own class, a run is a job that Kubernetes knows every field of."""
    manifest = _job(pool)
    manifest["metadata"]["name"] = manifest["metadata"].pop("generateName") + "x"
    kubernetes_validate.validate(manifest, version, strict=True)
    pod = manifest["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert _container(manifest)["args"]
    assert pod["restartPolicy"] == "Never"
    assert manifest["spec"]["backoffLimit"] == 0, "Prefect retries, not Kubernetes"


def test_gpu_jobs_ask_for_a_gpu_and_time_to_end() -> None:
    """One GPU unless asked for more, a toleration, and longer than a block to end in."""
    manifest = _job("gpu", gpu_count=2, grace_seconds=600)
    pod = manifest["spec"]["template"]["spec"]
    assert _container(manifest)["resources"]["limits"]["nvidia.com/gpu"] == 2
    assert pod["terminationGracePeriodSeconds"] == 600
    assert [each["key"] for each in pod["tolerations"]] == ["nvidia.com/gpu"]
    assert "nvidia.com/gpu" not in _container(_job("cpu"))["resources"]["limits"]
    assert _container(_job("gpu"))["resources"]["limits"]["nvidia.com/gpu"] == 1


@pytest.mark.parametrize("pool", POOLS)
def test_jobs_find_claims_and_settings_that_there_are(pool: str) -> None:
    """The claim, the account and the config map of a job are those of infra/kubernetes."""
    manifest, made = _job(pool), list(_kubernetes())
    names = {(each["kind"], each["metadata"]["name"]) for each in made}
    pod = manifest["spec"]["template"]["spec"]
    claims = [
        v["persistentVolumeClaim"]["claimName"] for v in pod["volumes"] if "persist" in str(v)
    ]
    assert {("PersistentVolumeClaim", claim) for claim in claims} <= names
    assert ("ServiceAccount", pod["serviceAccountName"]) in names
    assert ("ConfigMap", _container(manifest)["envFrom"][0]["configMapRef"]["name"]) in names
    (settings,) = [each["data"] for each in made if each["kind"] == "ConfigMap"]
    mounts = {mount["mountPath"] for mount in _container(manifest)["volumeMounts"]}
    assert settings["ROUNDHOUSE_HOME"] in mounts


def _kubernetes() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for path in sorted((INFRA / "kubernetes").glob("*.yaml")):
        if path.name != "kustomization.yaml":
            found += yaml.safe_load_all(path.read_text())
    return found


def test_kubernetes_objects_are_valid_and_listed() -> None:
    """Each is one that Kubernetes knows every field of, and the kustomization names its file."""
    for each in _kubernetes():
        kubernetes_validate.validate(each, KUBERNETES[-1], strict=True)
    listed = yaml.safe_load((INFRA / "kubernetes" / "kustomization.yaml").read_text())["resources"]
    files = {path.name for path in (INFRA / "kubernetes").glob("*.yaml")}
    assert {*listed, "kustomization.yaml"} == files


@pytest.mark.parametrize("pool", POOLS)
def test_docker_containers_get_what_they_need(pool: str) -> None:
    """Rendered through Prefect's own class: no rights, a home, and a GPU in the pool gpu alone."""
    made = asyncio.run(
        DockerWorkerJobConfiguration.from_template_and_values(
            template(pool, "docker"), {}, client=PrefectClient(NOWHERE)
        )
    )
    assert not made.privileged
    assert made.volumes == ["roundhouse-home:/var/lib/roundhouse"]
    options = made.container_create_kwargs or {}
    assert options["cap_drop"] == ["ALL"]
    assert ("device_requests" in options) == (pool == "gpu")


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("pool", POOLS)
def test_templates_use_each_variable_and_no_other(pool: str, kind: str) -> None:
    """A placeholder without a variable stays empty, a variable without one does nothing."""
    found = template(pool, kind, image="registry/image:1")
    placeholders = set(re.findall(r"{{ (\w+) }}", json.dumps(found["job_configuration"])))
    assert placeholders == set(found["variables"]["properties"])
    if kind != "process":
        assert found["variables"]["properties"]["image"]["default"] == "registry/image:1"


def test_compose_is_what_the_specification_allows() -> None:
    """Checked with the schema of the Compose specification."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run(
        [*command, INFRA / "compose.yaml"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_variables_are_ones_that_somebody_reads() -> None:
    """Prefect knows each PREFECT_ variable of compose, charts and images; we know our own."""
    ours = {f"ROUNDHOUSE_{name.upper()}" for name in Settings.model_fields}
    theirs = _get_valid_setting_names(PrefectSettings)
    files = [*INFRA.glob("*.yaml"), *INFRA.glob("helm/*"), *INFRA.glob("kubernetes/*")]
    files += INFRA.glob("docker/*")
    text = "\n".join(path.read_text() for path in files)
    integration = (f"{INTEGRATION}{n.upper()}" for n in KubernetesWorkerSettings.model_fields)
    used = set(re.findall(r"\b(?:PREFECT|ROUNDHOUSE)_[A-Z0-9_]+", text))
    unknown = used.difference(ours, theirs, integration)
    assert {name for name in unknown if not REDIS.fullmatch(name)} == set()


def _variables(service: dict[str, Any]) -> list[tuple[str, str]]:
    return list(service.get("environment", {}).items())


def test_no_file_holds_a_password_and_each_asks_for_one() -> None:
    """Compose, charts and Terraform give the API a password that is not in them."""
    services = yaml.safe_load((INFRA / "compose.yaml").read_text())["services"]
    for name, service in services.items():
        shown = {key: value for key, value in _variables(service) if "AUTH" in key}
        if name not in {"postgres", "redis"}:
            assert shown["PREFECT_API_AUTH_STRING"] == "${PREFECT_API_AUTH_STRING:?}", name
        assert set(shown.values()) <= {"${PREFECT_API_AUTH_STRING:?}"}
    assert "PREFECT_SERVER_API_AUTH_STRING" in services["server"]["environment"]
    secret = {"enabled": True, "existingSecret": "roundhouse-prefect"}
    charts = {
        name: yaml.safe_load((INFRA / "helm" / f"{name}.yaml").read_text())
        for name in ("server", "worker-cpu", "worker-gpu")
    }
    assert charts["server"]["server"]["basicAuth"] == secret
    for name in ("worker-cpu", "worker-gpu"):
        assert charts[name]["worker"]["selfHostedServerApiConfig"]["basicAuth"] == secret
    terraform = (INFRA / "terraform" / "main.tf").read_text()
    assert "basic_auth_key = var.prefect_auth" in terraform


def test_images_of_compose_and_templates_are_built() -> None:
    """Each image of ours is a target of the Dockerfile."""
    targets = set(
        re.findall(r"AS ([\w-]+)$", (INFRA / "docker" / "Dockerfile").read_text(), re.MULTILINE)
    )
    compose = yaml.safe_load((INFRA / "compose.yaml").read_text())["services"]
    built = {each["image"]: each["build"]["target"] for each in compose.values() if "build" in each}
    assert {image.removeprefix("roundhouse-").partition(":")[0] for image in built} <= targets
    assert set(built.values()) <= targets
    for pool in POOLS:
        image = template(pool, "kubernetes")["variables"]["properties"]["image"]["default"]
        assert built[image] == f"{pool}-worker"


def test_workers_of_one_machine_can_be_kept_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked to, each embedded worker has a home of its own, and all the one shared workspace."""
    layout = Layout.of(tmp_path)
    layout.make()
    ports, credentials = choose(layout.ports, {}, lambda _: False), load_or_make(layout)
    monkeypatch.setenv("ROUNDHOUSE_WORKSPACE", "s3://artifacts/workspace")
    together = workers(layout, ports, credentials)
    monkeypatch.setenv(APART, "1")
    apart = workers(layout, ports, credentials)
    assert {piece.env["ROUNDHOUSE_HOME"] for piece in together} == {str(tmp_path)}
    assert len({piece.env["ROUNDHOUSE_HOME"] for piece in apart}) == len(apart) > 1
    assert {piece.env["ROUNDHOUSE_WORKSPACE"] for piece in apart} == {"s3://artifacts/workspace"}
    digests = [piece.digest for piece in apart]
    assert digests != [piece.digest for piece in together], "a change of homes starts them anew"
