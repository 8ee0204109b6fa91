"""Where faults are tried: an embedded stack of its own, with a proxy before Hub and S3."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import DeploymentUpdate
from prefect.settings import PREFECT_API_URL, temporary_settings

from infra.local import ports as port_choice
from infra.local import stack
from infra.local.daemon import Daemon
from infra.local.layout import Layout
from tasks.core.settings import Settings
from tests.e2e.house import House, wait_for
from tests.faults.proxy import Proxy

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

DEPLOYMENTS = ("release/default", "quantize/gpu", "validate/gpu")
WELL_SECONDS = 90.0
PART_BYTES = 5 << 20
ATTEMPTS = Config(retries={"mode": "standard", "total_max_attempts": 8})


@dataclass(frozen=True)
class Stand:
    """The stack and its proxies.

    Attributes:
        house: the stack, and its command line; its environment goes past the proxies.
        scratch: folder of the homes of all points.
        hub: proxy of the Hub.
        s3: proxy of the object store.
        client: of the Prefect server.
        mark: of this trial's repositories, since a stack may have seen others.
    """

    house: House
    scratch: Path
    hub: Proxy
    s3: Proxy
    client: SyncPrefectClient
    mark: str = field(default_factory=lambda: token_hex(3))

    @property
    def layout(self) -> Layout:
        """The stack's files."""
        return Layout.of(self.house.home)

    @cached_property
    def settings(self) -> Settings:
        """Settings that go past the proxies."""
        given = self.house.env
        return Settings.model_validate(
            {
                "home": self.house.home,
                "hub_endpoint": given["HF_ENDPOINT"],
                "hub_token": given["HF_TOKEN"],
                "s3_endpoint": given["AWS_ENDPOINT_URL_S3"],
                "s3_access_key": given["AWS_ACCESS_KEY_ID"],
                "s3_secret_key": given["AWS_SECRET_ACCESS_KEY"],
                "archive": given["ROUNDHOUSE_ARCHIVE"],
                "verify_key": self.layout.verify_key,
            }
        )

    @cached_property
    def objects(self) -> "S3Client":
        """The object store, past the proxy."""
        return boto3.client(
            "s3",
            endpoint_url=self.settings.s3_endpoint,
            aws_access_key_id=self.settings.s3_access_key.get_secret_value(),
            aws_secret_access_key=self.settings.s3_secret_key.get_secret_value(),
            region_name=self.settings.s3_region,
            config=ATTEMPTS,
        )

    def through(self, home: Path, **more: str) -> dict[str, str]:
        """Variables of a run or command that works in a home and goes through the proxies."""
        return {
            "PYTHONUNBUFFERED": "1",
            "ROUNDHOUSE_HOME": str(home),
            "ROUNDHOUSE_PRIVATE": "true",
            "ROUNDHOUSE_S3_PART_BYTES": str(PART_BYTES),
            "HF_ENDPOINT": self.hub.url,
            "AWS_ENDPOINT_URL_S3": self.s3.url,
            **more,
        }

    def direct_runs(self, variables: dict[str, str]) -> None:
        """Give these variables to every run that starts from now on; none for those of workers."""
        given = {"env": variables} if variables else {}
        for name in DEPLOYMENTS:
            deployment = self.client.read_deployment_by_name(name)
            self.client.update_deployment(deployment.id, DeploymentUpdate(job_variables=given))

    def kill(self, piece: str) -> None:
        """SIGKILL one piece of the stack; the keeper starts it again."""
        process = Daemon(self.layout, piece).process
        assert process is not None, f"{piece} does not run"
        process.kill()
        process.wait(10)

    def well(self) -> None:
        """Wait until every piece does its work."""

        def look() -> bool:
            return stack.status(self.house.home).well

        wait_for("a stack that is well", look, WELL_SECONDS)


@contextmanager
def stand(folder: Path, *, keep: bool = False) -> Iterator[Stand]:
    """A stack in a folder, started and, in the end, stopped unless it is kept."""
    home = (folder / "home").resolve()
    try:
        started = stack.up(home)
        inherited = {k: v for k, v in os.environ.items() if k != "HF_TOKEN"}
        house = House(home, inherited | started.env(), started.prefect)
        with beside(house, home.parent / "points") as made:
            yield made
    finally:
        if not keep:
            stack.down(home)


@contextmanager
def beside(house: House, scratch: Path) -> Iterator[Stand]:
    """Proxies before a stack that runs; in the end its runs go past them again."""
    ports = port_choice.kept(Layout.of(house.home).ports)
    with (
        Proxy(ports["hub"]) as hub,
        Proxy(ports["s3"]) as s3,
        temporary_settings({PREFECT_API_URL: house.env["PREFECT_API_URL"]}),
        get_client(sync_client=True) as client,
    ):
        made = Stand(house, scratch, hub, s3, client)
        try:
            yield made
        finally:
            made.direct_runs({})
