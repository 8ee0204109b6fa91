"""Releases whose quality was not measured: published in private alone, and saying so."""

from collections.abc import Callable
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from huggingface_hub import ModelCard

from tasks.archive.archive import run as archive
from tasks.archive.restore import restore
from tasks.core.errors import IntegrityError, TargetError
from tasks.core.gate_records import LINT_ONLY, Check
from tasks.core.progress import Silent
from tasks.core.published import BOM
from tasks.core.records import Release, UploadRecord
from tasks.core.settings import Settings
from tasks.upload.confined import is_confined
from tasks.upload.republish import republish
from tasks.upload.rollback import roll_back
from tasks.upload.upload import run
from tests.conftest import HubServer, Keys, S3Server
from tests.finished_stages import finish_stages, randomly

SILENT = Silent()
CHECKED = Check(name="config.scheme", passed=True, seen="NVFP4", required="NVFP4")
UNMEASURED = {
    "verdict": LINT_ONLY, "checks": (CHECKED,), "metrics": None, "measures": (), "strata": (),
    "tasks": (), "kernel": "", "numerics": None, "engine": "",
}  # fmt: skip
Upload = Callable[[Release, Path], UploadRecord]


@pytest.fixture
def upload(keys: Keys, hub_server: HubServer) -> Upload:
    def run_it(release: Release, home: Path) -> UploadRecord:
        values = {"hub_endpoint": hub_server.url, "hub_token": hub_server.token(), "home": home}
        values |= {"signing_key": keys.private, "private": False}
        settings = Settings.model_validate(values)
        return run(release, hub=hub_server.hub(), settings=settings, home=home, reporter=SILENT)

    return run_it


@pytest.fixture
def release(tmp_path: Path) -> Release:
    facts = {"validate": UNMEASURED}
    return finish_stages(tmp_path, randomly("acme/unmeasured"), facts=facts)


def test_it_is_published_in_private_whatever_the_settings_say(
    release: Release, upload: Upload, hub_server: HubServer, tmp_path: Path
) -> None:
    """New repositories are public here, but this one; a second run changes nothing."""
    record = upload(release, tmp_path)
    assert hub_server.api().repo_info(record.repo).private
    measured = finish_stages(tmp_path / "other", randomly("acme/measured"))
    assert not hub_server.api().repo_info(upload(measured, tmp_path / "other").repo).private
    assert upload(release, tmp_path) == record


def test_a_public_target_gets_nothing(
    release: Release, upload: Upload, hub_server: HubServer, tmp_path: Path
) -> None:
    """Refused before anything is written, hashed or sent; its head is what it was."""
    target = release.plan.target
    head = hub_server.seed(target, {"README.md": b"---\nlicense: mit\n---\n"})
    before = len(hub_server.requests())
    with pytest.raises(TargetError, match="public"):
        upload(release, tmp_path)
    assert hub_server.hub().head(target) == head
    assert {m for m, _, _ in hub_server.requests()[before:]} <= {"GET", "HEAD"}


def test_its_documents_say_so(release: Release, upload: Upload, tmp_path: Path) -> None:
    """Card and bill of materials claim no figure; the card says that nothing was measured."""
    record = upload(release, tmp_path)
    card = ModelCard((record.path / "README.md").read_text())
    assert "quality was not measured" in card.text
    assert "no acceptance" in card.text
    assert not {"perplexity", "KL", "accepted it"} & set(card.text.split())
    assert "model-index" not in card.content
    bom = (record.path / BOM).read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(bom) is None
    assert is_confined(bom.encode())


def test_a_measured_release_follows_one_that_was_not(
    release: Release, upload: Upload, tmp_path: Path
) -> None:
    """The changelog has no figures of before, and those of now."""
    upload(release, tmp_path)
    later = finish_stages(tmp_path / "later", release.plan.target, "demo-01234567-bbbbbbbbbb")
    record = upload(later, tmp_path / "later")
    told = (record.path / "CHANGELOG.md").read_text()
    assert "| `mean KL divergence` | `none` | `0.03125` |" in told


def test_no_way_back_into_a_repository_that_became_public(
    release: Release, upload: Upload, hub_server: HubServer, s3_server: S3Server, keys: Keys,
    tmp_path: Path,
) -> None:  # fmt: skip
    """Neither rollback nor a restored archive puts it there; both do while it is private."""
    record = upload(release, tmp_path)
    settings, hub, repo = (
        s3_server.settings(signing_key=keys.private),
        hub_server.hub(),
        record.repo,
    )
    archived = archive(
        release, record, store=s3_server.store(), home=tmp_path, settings=settings, reporter=SILENT
    )
    measured = finish_stages(tmp_path / "later", repo, "demo-01234567-bbbbbbbbbb")
    newer = upload(measured, tmp_path / "later")
    back = roll_back(repo, record.tag, hub=hub, reporter=SILENT)
    hub_server.api().update_repo_settings(repo, private=False)
    with pytest.raises(TargetError, match="public"):
        roll_back(repo, record.tag, hub=hub, reporter=SILENT)
    assert hub.head(repo) == back
    forward = roll_back(repo, newer.tag, hub=hub, reporter=SILENT)
    assert hub.head(repo) == forward != back

    folder = tmp_path / "restored"
    restore(archived.uri, folder, s3_server.store(), SILENT)
    with pytest.raises(TargetError, match="public"):
        republish(folder, hub=hub, private=False, reporter=SILENT)
    hub_server.api().delete_repo(repo)
    republish(folder, hub=hub, private=False, reporter=SILENT)
    assert hub_server.api().repo_info(repo).private


@pytest.mark.parametrize("bom", [b"", b"{}", b'{"metadata": {"component": {"properties": []}}}'])
def test_a_bill_without_a_verdict_is_an_error(bom: bytes) -> None:
    """What does not say whether it was measured is not taken for measured."""
    with pytest.raises(IntegrityError, match="verdict"):
        is_confined(bom)
