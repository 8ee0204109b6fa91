"""One release, published on the Hub and archived in S3, for all tests of this room."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tasks.archive import archive
from tasks.core.progress import Silent
from tasks.core.records import ArchiveRecord, Release, UploadRecord
from tasks.core.settings import Settings
from tasks.sign.signer import Verifier
from tasks.upload import upload
from tasks.verify.found import Verification
from tasks.verify.verify import Verify
from tests.conftest import HubServer, Keys, S3Server
from tests.finished_stages import finish_stages, randomly

SILENT = Silent()
WHOLE: dict[str, dict[str, bytes]] = {
    "convert": {
        "generation_config.json": b'{"eos_token_id": 1}',
        "tokenizer_config.json": b'{"model_max_length": 4096}',
        "chat_template.jinja": b"{% for m in messages %}{{ m.content }}{% endfor %}",
        "processor_config.json": b'{"image_seq_length": 16}',
        "preprocessor_config.json": b'{"do_resize": true}',
    }
}
"""What a release of a real model has beside weights, index, config and tokenizer."""


@dataclass(frozen=True)
class House:
    """Hub, S3 and a key, and what was published there."""

    hub_server: HubServer
    s3_server: S3Server
    keys: Keys
    home: Path

    @property
    def settings(self) -> Settings:
        """Of a process that may do everything."""
        hub = {"hub_endpoint": self.hub_server.url, "hub_token": self.hub_server.token()}
        keys: dict[str, Any] = {"signing_key": self.keys.private, "verify_key": self.keys.public}
        return self.s3_server.settings(**hub, **keys, home=self.home)

    @property
    def env(self) -> dict[str, str]:
        """Of a command that may do everything."""
        credentials = self.s3_server.credentials
        return {
            "HF_ENDPOINT": self.hub_server.url,
            "HF_TOKEN": self.hub_server.token(),
            "AWS_ENDPOINT_URL_S3": self.s3_server.url,
            "AWS_ACCESS_KEY_ID": credentials.s3_access_key.get_secret_value(),
            "AWS_SECRET_ACCESS_KEY": credentials.s3_secret_key.get_secret_value(),
            "ROUNDHOUSE_VERIFY_KEY": str(self.keys.public),
        }

    def publish(self, release: Release) -> tuple[UploadRecord, ArchiveRecord]:
        """Upload and archive a release."""
        hub, store, settings = self.hub_server.hub(), self.s3_server.store(), self.settings
        up = upload.run(release, hub=hub, settings=settings, home=self.home, reporter=SILENT)
        kept = archive.run(
            release, up, store=store, home=self.home, settings=settings, reporter=SILENT
        )
        return up, kept

    def verify(
        self, address: str, *, key: Keys | None = None, signed: bool = True, deep: bool = False
    ) -> Verification:
        """What `roundhouse verify` finds."""
        verifier = (key or self.keys).signer.verifier
        given: Verifier | None = verifier if signed else None
        hub, store = self.hub_server.hub(), self.s3_server.store()
        return Verify(given, hub, store, SILENT, deep=deep)(address)


@dataclass(frozen=True)
class Published:
    """What was published: where on the Hub, and where in S3."""

    upload: UploadRecord
    archive: ArchiveRecord

    @property
    def repo(self) -> str:
        """The repository."""
        return self.upload.repo

    @property
    def at(self) -> str:
        """Address of the tag on the Hub."""
        return f"hub:{self.upload.repo}@{self.upload.tag}"


@pytest.fixture(scope="session")
def house(
    hub_server: HubServer,
    s3_server: S3Server,
    keys: Keys,
    tmp_path_factory: pytest.TempPathFactory,
) -> House:
    return House(hub_server, s3_server, keys, tmp_path_factory.mktemp("house"))


@pytest.fixture
def publish(house: House) -> Callable[..., Published]:
    def publish_it(target: str = "", release_id: str = "demo-01234567-aaaaaaaaaa") -> Published:
        name = target or randomly("acme/published")
        return Published(*house.publish(finish_stages(house.home, name, release_id, files=WHOLE)))

    return publish_it


@pytest.fixture
def published(publish: Callable[..., Published]) -> Published:
    return publish()
