"""Verify whatever an address names: a folder, `hub:owner/name@revision`, `s3://…`."""

import re
from dataclasses import dataclass
from pathlib import Path

from tasks.clients.hub import Hub
from tasks.clients.s3 import Store
from tasks.core.archived import MANIFEST, Manifest
from tasks.core.errors import InputError, IntegrityError, StoreError
from tasks.core.progress import Reporter
from tasks.sign.signer import Verifier
from tasks.verify.check import Expected, verify_archive, verify_release
from tasks.verify.found import Problem, Verification
from tasks.verify.places import Folder, HubCommit, Objects

HUB, S3 = "hub:", "s3://"
REPO = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)(?:@(?P<revision>.+))?")
COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class Verify:
    """How releases are verified.

    Attributes:
        verifier: with the public key; None compares digests alone.
        hub: asked for `hub:` addresses.
        store: asked for `s3://` addresses.
        reporter: told of files compared.
        deep: whether archived objects are read; else the checksums that S3 keeps are compared.
    """

    verifier: Verifier | None
    hub: Hub
    store: Store
    reporter: Reporter
    deep: bool = False

    def __call__(self, address: str) -> Verification:
        """Verify what an address names.

        Raises:
            InputError: there is nothing to verify.
            TransientError: a server did not answer.
        """
        if address.startswith(HUB):
            return self.on_hub(address.removeprefix(HUB))
        if address.startswith(S3):
            return self.in_store(address)
        return self.in_folder(Path(address))

    def in_folder(self, folder: Path) -> Verification:
        """A download of the Hub's repository, or a restored archive."""
        if not folder.is_dir():
            raise InputError(
                f"there is no folder {folder}",
                expected="a folder, hub:owner/name@revision, or s3://bucket/…",
            )
        place = Folder(folder)
        if not (folder / MANIFEST).is_file():
            return verify_release(place, self.verifier, self.reporter)
        return self._archive(place, (folder / MANIFEST).read_bytes())

    def on_hub(self, name: str) -> Verification:
        """A commit of a repository on the Hub, `owner/name` with `@revision` or the head."""
        parts = REPO.fullmatch(name)
        if parts is None:
            raise InputError(f"{name} names no repository", expected="hub:owner/name@revision")
        repo, revision = parts["repo"], parts["revision"] or "main"
        commit = self.hub.resolve(repo, revision)
        is_tag = revision != "main" and not COMMIT.fullmatch(revision)
        expected = Expected(repo, revision if is_tag else "")
        return verify_release(
            HubCommit(self.hub, repo, commit), self.verifier, self.reporter, expected
        )

    def in_store(self, uri: str) -> Verification:
        """An archived release in S3."""
        uri = uri.rstrip("/")
        data = self.store.find(f"{uri}/{MANIFEST}")
        if data is None:
            raise StoreError(
                f"there is no whole archive at {uri}",
                expected=f"{MANIFEST}, which is written last",
                remedy="name the folder of one release: s3://bucket/prefix/owner/name/release-id",
            )
        try:
            manifest = Manifest.parse(data, MANIFEST)
        except IntegrityError as error:
            return self._unreadable(uri, error)
        place = Objects(self.store, uri, manifest, deep=self.deep)
        return verify_archive(place, manifest, data, self.verifier, self.reporter)

    def _archive(self, place: Folder, data: bytes) -> Verification:
        try:
            manifest = Manifest.parse(data, MANIFEST)
        except IntegrityError as error:
            return self._unreadable(place.name, error)
        return verify_archive(place, manifest, data, self.verifier, self.reporter)

    def _unreadable(self, where: str, error: IntegrityError) -> Verification:
        problem = Problem(path=MANIFEST, what=f"{error.what} ({error.found})")
        key = self.verifier.name if self.verifier else ""
        return Verification(where=where, release="", key=key, files=0, problems=(problem,))
