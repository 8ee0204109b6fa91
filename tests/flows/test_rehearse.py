"""Restores that are rehearsed, from a real S3 server."""

import time
from pathlib import Path

import pytest

from flows.rehearsal import FOLDER, rehearse
from tasks.archive.newest import newest
from tasks.core.errors import InputError, IntegrityError
from tasks.core.settings import Settings
from tests.archived_case import SHARD, SILENT, Case, overwrite
from tests.command import roundhouse_here
from tests.conftest import Keys, S3Server
from tests.finished_stages import randomly

TICK_SECONDS = 1.1
"""S3 tells times in whole seconds."""


@pytest.fixture
def archive(s3_server: S3Server) -> str:
    return f"{s3_server.settings().archive}-{randomly('of')}"


def archived(server: S3Server, keys: Keys, home: Path, archive: str) -> tuple[Case, str]:
    """A release archived there, and its address."""
    case = Case.make(server, home, randomly("acme/release"), keys)
    case.settings = case.settings.model_copy(update={"archive": archive})
    return case, case.run().uri


@pytest.fixture
def settings(s3_server: S3Server, keys: Keys, archive: str, tmp_path: Path) -> Settings:
    """Of a machine that has nothing but the archive's address, a reading key and the public key."""
    return s3_server.settings(**s3_server.reader()).model_copy(
        update={"archive": archive, "home": tmp_path / "other", "verify_key": keys.public}
    )


def test_the_newest_release_comes_back_and_leaves_nothing(
    s3_server: S3Server, keys: Keys, settings: Settings, archive: str, tmp_path: Path
) -> None:
    """Of two the later, though an object of the earlier is newer than it; the scratch is gone."""
    _, early = archived(s3_server, keys, tmp_path / "one", archive)
    time.sleep(TICK_SECONDS)
    case, late = archived(s3_server, keys, tmp_path / "two", archive)
    time.sleep(TICK_SECONDS)
    case.store.put_bytes(b"notes", f"{early}/records/manifest.json")
    assert newest(archive, case.store) == late
    made = rehearse(settings, keys.signer.verifier, SILENT)
    assert (made.archive, made.key) == (late, keys.signer.verifier.name)
    assert made.size == sum(size for path, size in case.store.list(late) if path != "manifest.json")
    assert not (settings.home / FOLDER).exists()


def test_a_damaged_archive_is_told_and_a_forged_one_stays_to_be_looked_at(
    s3_server: S3Server, keys: Keys, settings: Settings, archive: str, tmp_path: Path
) -> None:
    """A changed object is named; what another key signed is refused and stays below the home."""
    _, uri = archived(s3_server, keys, tmp_path / "one", archive)
    stranger = Keys.make(tmp_path / "stranger").signer.verifier
    with pytest.raises(IntegrityError, match="not what was signed"):
        rehearse(settings, stranger, SILENT)
    assert list((settings.home / FOLDER).iterdir())
    assert rehearse(settings, keys.signer.verifier, SILENT).archive == uri
    overwrite(s3_server, f"{uri}/{SHARD}", b"other weights")
    with pytest.raises(IntegrityError, match=SHARD):
        rehearse(settings, keys.signer.verifier, SILENT)


def test_nothing_to_restore_is_no_success(settings: Settings, keys: Keys) -> None:
    """An empty archive is an error: whoever rehearses believes that there is something."""
    with pytest.raises(InputError, match="no release is archived below"):
        rehearse(settings, keys.signer.verifier, SILENT)


def test_the_command_needs_the_public_key(tmp_path: Path) -> None:
    """`roundhouse rehearse` without one does not compare digests alone unless it is told to."""
    said = roundhouse_here("rehearse", ROUNDHOUSE_HOME=str(tmp_path))
    assert said.status == InputError.exit_code
    assert "ROUNDHOUSE_VERIFY_KEY" in said.err
