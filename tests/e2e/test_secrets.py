"""No secret of the stack is anywhere after a release: database, results, logs, command lines."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import boto3
import psutil
import pytest
from huggingface_hub import HfApi

from infra.local.environment import BUCKET
from infra.local.layout import Layout
from tests.e2e.house import BASE, House

pytestmark = [pytest.mark.e2e, pytest.mark.heavy]
TARGET = "roundhouse/no-secrets"
# A seed that no other test uses: a quantized checkpoint on the stack would be reused, and the child
# whose command line is to be read would never be started.
OWN = ("--set", "calibration.seed=1307")
LOOK_SECONDS = 0.2
LONG = 32


def secrets(house: House) -> dict[str, bytes]:
    """Everything that must be nowhere: random values that the stack made for itself."""
    names = ("HF_TOKEN", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "PREFECT_API_AUTH_STRING")
    key = Layout.of(house.home).signing_key.read_bytes().splitlines()
    lines = [line for line in key if not line.startswith(b"-----") and len(line) > LONG]
    assert lines
    return {name: house.env[name].encode() for name in names} | {
        f"line {number} of the signing key": line for number, line in enumerate(lines)
    }


@contextmanager
def watched() -> Iterator[dict[str, bytes]]:
    """Every command line that runs meanwhile, by process id and name."""
    seen: dict[str, bytes] = {}
    ends = threading.Event()

    def look() -> None:
        while not ends.wait(LOOK_SECONDS):
            for process in psutil.process_iter(["name", "cmdline"]):
                line = "\0".join(process.info["cmdline"] or [])
                seen[f"process {process.pid} {line[:60]}"] = line.encode()

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        ends.set()
        thread.join()


def outputs(house: House) -> dict[str, bytes]:
    """All files of the home but what servers keep for themselves, and what Hub and S3 give out."""
    stack = Layout.of(house.home)
    own = {stack.credentials, stack.hub_tokens, stack.signing_key}
    servers = (stack.data("s3"), stack.data("hub"))
    found = {
        str(path.relative_to(house.home)): path.read_bytes()
        for path in house.home.rglob("*")
        if path.is_file() and path not in own and not any(s in path.parents for s in servers)
    }
    hub = HfApi(house.env["HF_ENDPOINT"], token=house.env["HF_TOKEN"])
    release = Path(hub.snapshot_download(TARGET, local_dir=house.home / "no-secrets"))
    found |= {
        f"hub:{path.name}": path.read_bytes() for path in release.rglob("*") if path.is_file()
    }
    return found | objects(house)


def objects(house: House) -> dict[str, bytes]:
    """Every object of the bucket."""
    client = boto3.client(
        "s3",
        endpoint_url=house.env["AWS_ENDPOINT_URL_S3"],
        aws_access_key_id=house.env["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=house.env["AWS_SECRET_ACCESS_KEY"],
        region_name="us-east-1",
    )
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
    keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
    return {f"s3:{k}": client.get_object(Bucket=BUCKET, Key=k)["Body"].read() for k in keys}


def test_a_release_leaves_no_secret_on_the_stack(house: House) -> None:
    """A release through Prefect, from the command line on; all that it left is read."""
    with watched() as lines:
        done = house.roundhouse("release", BASE, "--to", TARGET, "--recipe", "light", *OWN)
    assert done.status == 0, done.out + done.err
    assert any(b"tasks.quantize.worker" in line for line in lines.values()), "the child was seen"
    left = outputs(house) | lines | {"printed": (done.out + done.err).encode()}
    assert any(name.endswith("prefect.db") for name in left), "the database is read"
    found = {
        name: [where for where, data in left.items() if value in data]
        for name, value in secrets(house).items()
    }
    assert {name: where for name, where in found.items() if where} == {}
