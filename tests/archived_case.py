"""A release that is uploaded and ready to be archived, for tests of archive and verification."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tasks.archive.archive import run
from tasks.clients.s3 import Store
from tasks.clients.s3_objects import Address
from tasks.core.progress import Silent
from tasks.core.records import ArchiveRecord, Release, UploadRecord
from tasks.core.settings import Settings
from tasks.core.workspace import Workspace
from tasks.upload.documents import sign, write_documents
from tests.conftest import Keys, S3Server
from tests.finished_stages import finish_stages

SILENT = Silent()
SHARD = "checkpoint/model-00001-of-00002.safetensors"


@dataclass
class Case:
    """A release that is uploaded, and the store it goes to."""

    sources: Release
    upload: UploadRecord
    store: Store
    settings: Settings
    home: Path

    @classmethod
    def make(cls, server: S3Server, home: Path, target: str, keys: Keys, **changes: Any) -> "Case":
        """A release whose upload is recorded; changes go to `finish_stages`."""
        sources = finish_stages(home, target, **changes)
        settings = server.settings(signing_key=keys.private)
        return cls.of(sources, server.store(), settings, home, keys)

    @classmethod
    def of(
        cls, sources: Release, store: Store, settings: Settings, home: Path, keys: Keys
    ) -> "Case":
        """The same of a release that is finished, with a store of somebody's."""
        return cls(sources, _uploaded(sources, home, keys), store, settings, home)

    def run(self) -> ArchiveRecord:
        """Archive it."""
        return run(
            self.sources,
            self.upload,
            store=self.store,
            home=self.home,
            settings=self.settings,
            reporter=SILENT,
        )

    def forget(self) -> None:
        """Lose the record of the archive."""
        self.workspace.root.joinpath("archive.json").unlink()

    @property
    def logs(self) -> Path:
        """Folder of the stages' logs."""
        return Workspace.of_release(self.home, self.sources.plan.release_id).root / "scratch"

    @property
    def workspace(self) -> Workspace:
        """The release's own at its target."""
        plan = self.sources.plan
        return Workspace.of_target(self.home, plan.release_id, plan.target)


def _uploaded(sources: Release, home: Path, keys: Keys) -> UploadRecord:
    """The record of an upload whose documents are real and whose Hub was not asked."""
    repo, tag, url = sources.plan.target, sources.plan.release_id, "https://hub.example"
    workspace = Workspace.of_target(home, tag, repo)

    def make(folder: Path) -> dict[str, object]:
        write_documents(sources, folder, hub_url=url, former=None, signer=keys.signer)
        sign(sources, folder, keys.signer)
        return {"repo": repo, "commit": "c" * 40, "tag": tag, "url": f"{url}/{repo}"}

    return workspace.run("upload", UploadRecord, {}, make)


@contextmanager
def sent_by(store: Store) -> Iterator[list[str]]:
    """Names of the operations that a store sends."""
    sent: list[str] = []

    def note(model: Any, **_: object) -> None:
        sent.append(model.name)

    store._client.meta.events.register("before-call.s3", note)
    yield sent
    store._client.meta.events.unregister("before-call.s3", note)


def overwrite(
    server: S3Server, uri: str, data: bytes, algorithm: Literal["CRC64NVME", "CRC32"] = "CRC64NVME"
) -> None:
    """Replace an object behind the store's back; S3 keeps the checksum of the named kind."""
    at = Address.parse(uri)
    server.client().put_object(Bucket=at.bucket, Key=at.key, Body=data, ChecksumAlgorithm=algorithm)
