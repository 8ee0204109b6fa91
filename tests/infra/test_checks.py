"""`make check` asks Helm and Terraform themselves: mistakes in what they read are found."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
INFRA = ROOT / "infra"
PYTHON = ROOT / ".venv" / "tools" / "bin" / "python"


def _check(of: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PYTHON, "-m", f"infra.checks.{of}", *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )


def _plant(path: Path, right: str, wrong: str) -> None:
    text = path.read_text()
    assert right in text
    path.write_text(text.replace(right, wrong, 1))


@pytest.fixture
def values(tmp_path: Path) -> Path:
    """A copy of the charts' values."""
    return Path(shutil.copytree(INFRA / "helm", tmp_path / "helm"))


@pytest.fixture
def terraform(tmp_path: Path) -> Path:
    """A copy of the Terraform files, with the templates that they read beside them."""
    shutil.copytree(INFRA / "pools", tmp_path / "pools")
    return Path(shutil.copytree(INFRA / "terraform", tmp_path / "terraform"))


@pytest.mark.parametrize(
    ("name", "right", "wrong", "said"),
    [
        (
            "server",
            "    existingSecret: roundhouse-p",
            "    existingSecrets: roundhouse-p",
            "Secrets",
        ),
        ("server", "runAsSeparateDeployment: true", 'runAsSeparateDeployment: "true"', "Separate"),
        ("server", "replicaCount: 2", "replicaCount: two", "replicaCount"),
        ("worker-cpu", "workPool: cpu", "workPool: cpus", "workPool"),
        ("worker-gpu", "    basicAuth:\n      enabled", "  basicAuth:\n      enabled", "basicAuth"),
        ("worker-gpu", "existingSecret: roundhouse-prefect", "authString: me:pass", "authString"),
    ],
)
def test_helm_finds_what_is_wrong_in_values(
    values: Path, name: str, right: str, wrong: str, said: str
) -> None:
    """A misspelt key, a wrong type, a key in the wrong place, a password: each named by its key."""
    assert _check("charts", "--values", values).returncode == 0
    _plant(values / f"{name}.yaml", right, wrong)
    done = _check("charts", "--values", values)
    assert done.returncode == 1
    assert f"{name}.yaml" in done.stderr
    assert said in done.stderr


def _chart(folder: Path, name: str, env: str) -> None:
    (folder / name / "templates").mkdir(parents=True)
    (folder / name / "Chart.yaml").write_text(f"{{apiVersion: v2, name: {name}, version: 1.0.0}}")
    (folder / name / "templates" / "pod.yaml").write_text(
        "apiVersion: v1\nkind: Pod\nmetadata: {name: it}\n"
        f"spec:\n  containers:\n    - {{name: it, image: it, env: {env}}}\n"
    )


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ('[{name: A, value: "1"}, {name: B, value: "1"}]', ""),
        ('[{name: A, value: "1"}, {name: A, value: "2"}]', "A is set twice"),
        ('[{name: A, value: {{ required "no zone" .Values.zone }}}]', "no zone"),
    ],
)
def test_helm_renders_charts_with_the_values(tmp_path: Path, env: str, said: str) -> None:
    """Given charts, what Helm cannot render, or Helm 4 would not send, is found."""
    for name in ("prefect-server", "prefect-worker"):
        _chart(tmp_path, name, env)
    done = _check("charts", "--charts", tmp_path)
    assert done.returncode == (1 if said else 0), done.stderr
    assert said in done.stderr


@pytest.mark.parametrize(
    ("name", "right", "wrong", "said"),
    [
        ("access", "var.eks_cluster ==", "var.eks_clusters ==", "undeclared input variable"),
        ("storage", "filter {}", "filters {}", "Unsupported block type"),
        ("storage", "  bucket = aws_s3_bucket.this.id\n", "", "Missing required argument"),
        ("pools", 'type              = "kub', 'typ               = "kub', "Unsupported argument"),
        ("outputs", "runs.arn", "runs.arm", "Unsupported attribute"),
        ("outputs", "aws_iam_role.runs.arn", "var.prefect_auth", "sensitive"),
        ("storage", "days          = var.archive_cold_days", "days=30", "terraform fmt"),
        ("access", '"s3:PutObjectRetention"', '"s3:DeleteObject"', "may runs delete"),
        ("pools", "var.images[each.key]", 'var.images["gpu"]', "have its own image"),
    ],
)
def test_terraform_finds_what_is_wrong(
    terraform: Path, name: str, right: str, wrong: str, said: str
) -> None:
    """What is undeclared, misspelt, missing, not formatted, and a plan of what is not meant."""
    _plant(terraform / f"{name}.tf", right, wrong)
    done = _check("terraform", terraform)
    assert done.returncode == 1
    assert said in done.stderr


def test_terraform_leaves_nothing_behind(terraform: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is right passes, whatever a person exports; nothing is written beside it."""
    monkeypatch.setenv("TF_VAR_eks_cluster", "theirs")
    monkeypatch.setenv("TF_CLI_ARGS", "-no-such-switch")
    before = sorted(terraform.rglob("*"))
    done = _check("terraform", terraform)
    assert done.returncode == 0, done.stderr
    assert sorted(terraform.rglob("*")) == before
