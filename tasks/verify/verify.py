"""Verify whatever an address names: a folder, `hub:owner/name@revision`, `s3://…`."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tasks.clients.hub import Hub
from tasks.clients.s3 import Store
from tasks.core.archived import MANIFEST, Manifest
from tasks.core.errors import InputError, IntegrityError, StoreError
from tasks.core.progress import Reporter
from tasks.sign.signer import Verifier
from tasks.verify.check import Expected, verify_archive, verify_release
from tasks.verify.found import Problem, Verification
from tasks.verify.places import Checkpoint, Folder, HubCommit, Objects, Place

HUB, S3 = "hub:", "s3://"
REPO = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)(?:@(?P<revision>.+))?")
COMMIT = re.compile(r"[0-9a-f]{40}")


class Examined(NamedTuple):
    """A verified address.

    Attributes:
        found: what came of it.
        release: where the release's own files are read from, at the commit that was verified; None
            for an archive whose manifest cannot be read.
    """

    found: Verification
    release: Place | None


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
        """Verify what an address names; as `examine`, without the place."""
        return self.examine(address).found

    def examine(self, address: str) -> Examined:
        """Verify what an address names.

        Raises:
            InputError: there is nothing to verify.
            TransientError: a server did not answer.
        """
        if address.startswith(HUB):
            return self._on_hub(address.removeprefix(HUB))
        if address.startswith(S3):
            return self._in_store(address)
        return self._in_folder(Path(address))

    def _in_folder(self, folder: Path) -> Examined:
        """A download of the Hub's repository, or a restored archive."""
        if not folder.is_dir():
            raise InputError(
                f"there is no folder {folder}",
                expected="a folder, hub:owner/name@revision, or s3://bucket/…",
            )
        place = Folder(folder)
        if not (folder / MANIFEST).is_file():
            return Examined(verify_release(place, self.verifier, self.reporter), place)
        return self._archive(place.name, (folder / MANIFEST).read_bytes(), lambda _: place)

    def _on_hub(self, name: str) -> Examined:
        """A commit of a repository on the Hub, `owner/name` with `@revision` or the head."""
        parts = REPO.fullmatch(name)
        if parts is None:
            raise InputError(f"{name} names no repository", expected="hub:owner/name@revision")
        repo, revision = parts["repo"], parts["revision"] or "main"
        place = HubCommit(self.hub, repo, self.hub.resolve(repo, revision))
        is_tag = revision != "main" and not COMMIT.fullmatch(revision)
        expected = Expected(repo, revision if is_tag else "")
        return Examined(verify_release(place, self.verifier, self.reporter, expected), place)

    def _in_store(self, uri: str) -> Examined:
        """An archived release in S3."""
        uri = uri.rstrip("/")
        data = self.store.find(f"{uri}/{MANIFEST}")
        if data is None:
            raise StoreError(
                f"there is no whole archive at {uri}",
                expected=f"{MANIFEST}, which is written last",
                remedy="name the folder of one release: s3://bucket/prefix/owner/name/release-id",
            )
        return self._archive(uri, data, lambda m: Objects(self.store, uri, m, deep=self.deep))

    def _archive(
        self, where: str, data: bytes, place_of: Callable[[Manifest], Folder | Objects]
    ) -> Examined:
        try:
            manifest = Manifest.parse(data, MANIFEST)
        except IntegrityError as error:
            return Examined(self._unreadable(where, error), None)
        place = place_of(manifest)
        found = verify_archive(place, manifest, data, self.verifier, self.reporter)
        return Examined(found, Checkpoint(place, manifest, set()))

    def _unreadable(self, where: str, error: IntegrityError) -> Verification:
        problem = Problem(path=MANIFEST, what=f"{error.what} ({error.found})")
        key = self.verifier.name if self.verifier else ""
        return Verification(where=where, release="", key=key, files=0, problems=(problem,))
