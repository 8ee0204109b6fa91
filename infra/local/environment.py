"""The environment variables through which clients and workers find the stack."""

import os
from collections.abc import Mapping
from pathlib import Path

from infra.local.credentials import Credentials
from infra.local.layout import ROOT, Layout
from infra.local.ports import HOST, Ports

BUCKET = "artifacts"
REGION = "us-east-1"
HEARTBEAT_SECONDS = 30
LOOPBACK = f"{HOST},localhost"
FOREIGN = ("PREFECT_", "HF_", "AWS_", "HUGGING_FACE_", "ROUNDHOUSE_PORT_")
"""A person's own settings of these kinds must not leak into the stack."""


def prefect_url(ports: Ports) -> str:
    """Address of Prefect's UI; its API lies at `/api`."""
    return f"http://{HOST}:{ports['prefect']}"


def hub_url(ports: Ports) -> str:
    """Address of the Hub stand-in."""
    return f"http://{HOST}:{ports['hub']}"


def s3_url(ports: Ports, host: str = HOST) -> str:
    """Address of the object store."""
    return f"http://{host}:{ports['s3']}"


def client_environment(layout: Layout, ports: Ports, credentials: Credentials) -> dict[str, str]:
    """All a client or worker needs to use the stack, secrets included."""
    return {
        **prefect_environment(layout, ports),
        "PREFECT_API_AUTH_STRING": credentials.prefect_auth.get_secret_value(),
        **_hub(layout, ports, credentials),
        **_s3(ports, credentials),
        "ROUNDHOUSE_HOME": str(layout.home),
        "ROUNDHOUSE_WORKSPACE": os.environ.get("ROUNDHOUSE_WORKSPACE", ""),
        "ROUNDHOUSE_ARCHIVE": f"s3://{BUCKET}/releases",
        "ROUNDHOUSE_PRIVATE": "false",
        "ROUNDHOUSE_SIGNING_KEY": str(layout.signing_key),
        "ROUNDHOUSE_VERIFY_KEY": str(layout.verify_key),
        "ROUNDHOUSE_SERVE_PYTHON": _serve_python(),
    }


def prefect_environment(layout: Layout, ports: Ports) -> dict[str, str]:
    """What Prefect's server, command line and workers need; no secrets."""
    return {
        "PREFECT_HOME": str(layout.data("prefect")),
        "PREFECT_API_URL": f"{prefect_url(ports)}/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_SECONDS),
        "PREFECT_RUNNER_AUTO_INSTALL_DEPENDENCIES": "false",
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        "DO_NOT_TRACK": "1",
        "NO_PROXY": LOOPBACK,
        "no_proxy": LOOPBACK,
        "PYTHONPATH": str(ROOT),
    }


def base_environment() -> dict[str, str]:
    """This process's environment without a person's settings for other stacks."""
    return {k: v for k, v in os.environ.items() if not k.startswith(FOREIGN)}


def _hub(layout: Layout, ports: Ports, credentials: Credentials) -> Mapping[str, str]:
    return {
        "HF_ENDPOINT": hub_url(ports),
        "HF_TOKEN": credentials.hub_token.get_secret_value(),
        "HF_HOME": str(layout.data("huggingface")),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }


def _s3(ports: Ports, credentials: Credentials) -> Mapping[str, str]:
    return {
        "AWS_ENDPOINT_URL_S3": s3_url(ports),
        "AWS_ACCESS_KEY_ID": credentials.s3_access_key.get_secret_value(),
        "AWS_SECRET_ACCESS_KEY": credentials.s3_secret_key.get_secret_value(),
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def _serve_python() -> str:
    # Not resolved: a virtual environment's python is a link, and its place is what counts.
    given = Path(os.environ.get("ROUNDHOUSE_SERVE_PYTHON") or ".venv/serve/bin/python")
    return str(ROOT / given)
