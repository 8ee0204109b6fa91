"""Uploads to a real Hub stand-in."""

import hashlib
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from tasks.core.errors import CheckFailed, IntegrityError, TargetError
from tasks.core.gate_records import Check
from tasks.core.manifest import relative_files
from tasks.core.progress import Silent
from tasks.core.published import SIGNATURE, SUMS
from tasks.core.recipe import load_recipe
from tasks.core.records import Release, UploadRecord
from tasks.core.settings import Settings
from tasks.core.workspace import Workspace
from tasks.upload.publish import publish
from tasks.upload.upload import published, run
from tests.conftest import HubServer, Keys
from tests.finished_stages import finish_stages, randomly

WRITING = {"POST", "PUT", "DELETE"}
REPORTER = Silent()
Upload = Callable[..., UploadRecord]


@pytest.fixture
def upload(keys: Keys, hub_server: HubServer) -> Upload:
    def run_it(sources: Release, home: Path, who: str = "roundhouse") -> UploadRecord:
        values = {"hub_endpoint": hub_server.url, "hub_token": hub_server.token(who)}
        settings = Settings.model_validate(values | {"home": home, "signing_key": keys.private})
        hub = hub_server.hub(who)
        return run(sources, hub=hub, settings=settings, home=home, reporter=REPORTER)

    return run_it


@pytest.fixture
def target() -> str:
    return randomly("acme/release")


@pytest.fixture
def sources(tmp_path: Path, target: str) -> Release:
    return finish_stages(tmp_path, target)


def commits(server: HubServer, target: str) -> list[str]:
    return [commit.title for commit in server.api().list_repo_commits(target)]


def test_a_release_is_one_tagged_commit(
    hub_server: HubServer, upload: Upload, sources: Release, target: str, tmp_path: Path
) -> None:
    """Model and documents arrive byte for byte in one commit that the tag names."""
    record = upload(sources, tmp_path)
    api = hub_server.api()
    refs = api.list_repo_refs(target)
    assert [(tag.name, tag.target_commit) for tag in refs.tags] == [(record.tag, record.commit)]
    assert commits(hub_server, target).count(f"Release {record.tag}") == 1
    there = Path(api.snapshot_download(target, revision=record.tag, local_dir=tmp_path / "there"))
    for stage in (sources.convert, record):
        for file in stage.files:
            found = hashlib.sha256((there / file.path).read_bytes()).hexdigest()
            assert found == file.sha256, file.path
    names = {file.path for file in record.files}
    assert "roundhouse/evidence/evidence.json" in names
    assert "roundhouse/evidence/logprobs.safetensors" not in names
    assert load_recipe(str(there / "roundhouse/recipe.yaml")).digest == sources.recipe.digest
    assert ModelCard.load(there / "README.md").data.base_model == ["acme/base-it"]


def test_the_digest_list_is_read_by_sha256sum(
    hub_server: HubServer, upload: Upload, sources: Release, target: str, tmp_path: Path
) -> None:
    """The tool of that name verifies a downloaded release, and finds a changed file."""
    record = upload(sources, tmp_path)
    there = tmp_path / "there"
    hub_server.api().snapshot_download(target, revision=record.tag, local_dir=there)
    shutil.rmtree(there / ".cache")
    command = ["sha256sum", "--check", "--quiet", SUMS]
    assert subprocess.run(command, cwd=there, check=False).returncode == 0
    covered = {line.split("  ", 1)[1] for line in (there / SUMS).read_text().splitlines()}
    assert set(relative_files(there)) - covered == {".gitattributes", SUMS, SIGNATURE}
    (there / "config.json").write_text("{}")
    assert subprocess.run(command, cwd=there, check=False, capture_output=True).returncode == 1


def test_a_second_run_changes_nothing(
    hub_server: HubServer, upload: Upload, sources: Release, target: str, tmp_path: Path
) -> None:
    """Neither in the same workspace nor in a new one; the new one adopts what is published."""
    first = upload(sources, tmp_path)
    before = len(hub_server.requests())
    assert upload(sources, tmp_path) == first
    new = finish_stages(tmp_path / "new", target, facts={"quantize": {"peak_ram": 9}})
    again = upload(new, tmp_path / "new")
    assert {method for method, _, _ in hub_server.requests()[before:]} & WRITING == set()
    assert again.commit == first.commit
    assert {f.path: f.sha256 for f in again.files} == {f.path: f.sha256 for f in first.files}


def test_a_run_that_died_before_the_tag_is_taken_up(
    hub_server: HubServer, upload: Upload, sources: Release, target: str, tmp_path: Path
) -> None:
    """The commit is found by its title and tagged, even when somebody committed since."""
    first = upload(sources, tmp_path)
    api = hub_server.api()
    api.delete_tag(target, tag=first.tag)
    api.upload_file(
        path_or_fileobj=b"notes", path_in_repo="notes.txt", repo_id=target, commit_message="notes"
    )
    Workspace.of_target(tmp_path, first.tag, target).root.joinpath("upload.json").unlink()
    assert upload(sources, tmp_path).commit == first.commit
    assert hub_server.hub().tags(target) == {first.tag: first.commit}
    assert commits(hub_server, target).count(f"Release {first.tag}") == 1


def test_a_repository_that_was_made_anew_gets_the_release_again(
    hub_server: HubServer, upload: Upload, sources: Release, target: str, tmp_path: Path
) -> None:
    """The workspace's record does not stand for what the Hub no longer has."""
    first = upload(sources, tmp_path)
    hub_server.api().delete_repo(target)
    again = upload(sources, tmp_path)
    assert hub_server.hub().tags(target) == {first.tag: again.commit}


def test_a_tag_on_other_files_is_an_error(
    hub_server: HubServer, upload: Upload, sources: Release, target: str, tmp_path: Path
) -> None:
    """Equal names must mean equal bytes: the differing shard is named and nothing is written."""
    upload(sources, tmp_path)
    shard = "model-00002-of-00002.safetensors"
    other = finish_stages(tmp_path / "o", target, files={"convert": {shard: b"other bytes"}})
    before = len(hub_server.requests())
    with pytest.raises(IntegrityError, match=shard):
        upload(other, tmp_path / "o")
    assert {method for method, _, _ in hub_server.requests()[before:]} & WRITING == set()


def test_a_commit_holds_its_release_and_nothing_else(
    hub_server: HubServer, upload: Upload, sources: Release, target: str, tmp_path: Path
) -> None:
    """What stood there goes, a person's file too; the former release stays under its tag."""
    first = upload(sources, tmp_path)
    hub_server.api().upload_file(
        path_or_fileobj=b"mine", path_in_repo="mine.txt", repo_id=target, commit_message="mine"
    )
    files = {"convert": {"model-00003-of-00003.safetensors": b"three"}}
    second = finish_stages(tmp_path, target, "demo-01234567-bbbbbbbbbb", files=files)
    gone = {"model-00001-of-00002.safetensors"}
    kept = tuple(file for file in second.convert.files if file.path not in gone)
    (second.convert.path / next(iter(gone))).unlink()
    second = replace(second, convert=second.convert.model_copy(update={"files": kept}))
    second = replace(
        second,
        validate=second.validate.model_copy(update={"inputs": {"convert": second.convert.digest}}),
    )
    record = upload(second, tmp_path)
    now = {file.path for file in hub_server.hub().files(target, record.commit)}
    assert now == {f.path for f in (*second.convert.files, *record.files)} | {".gitattributes"}
    assert hub_server.hub().tags(target)[first.tag] == first.commit


def test_only_an_accepted_release_leaves(
    hub_server: HubServer, upload: Upload, target: str, tmp_path: Path
) -> None:
    """REGRESSION, or a verdict about other files: refused before the Hub is asked anything."""
    failed = Check(name="mean_kl", passed=False, seen="0.3", required="0.2")
    bad = {"validate": {"verdict": "REGRESSION", "checks": (failed,)}}
    sources = finish_stages(tmp_path, target, facts=bad)
    good = finish_stages(tmp_path / "good", target)
    elsewhere = good.validate.model_copy(update={"inputs": {"convert": "0" * 64}})
    before = len(hub_server.requests())
    with pytest.raises(CheckFailed, match="mean_kl"):
        upload(sources, tmp_path)
    with pytest.raises(CheckFailed, match="another checkpoint"):
        upload(replace(good, validate=elsewhere), tmp_path / "good")
    (good.convert.path / "config.json").write_text("{}")
    with pytest.raises(IntegrityError, match=r"config\.json"):
        upload(good, tmp_path / "good")
    assert len(hub_server.requests()) == before


def test_a_secret_does_not_leave(
    hub_server: HubServer, upload: Upload, target: str, tmp_path: Path
) -> None:
    """Evidence that holds the Hub token is refused; the message names file and setting alone."""
    token = hub_server.token()
    leak = {"validate": {"evidence.json": f"Bearer {token}".encode()}}
    sources = finish_stages(tmp_path, target, files=leak)
    before = len(hub_server.requests())
    with pytest.raises(CheckFailed, match=r"evidence\.json.*hub_token") as refused:
        upload(sources, tmp_path)
    assert token not in str(refused.value)
    assert len(hub_server.requests()) == before


def test_a_token_that_may_only_read_is_refused(
    hub_server: HubServer, upload: Upload, sources: Release, target: str, tmp_path: Path
) -> None:
    """A reader's token: TargetError, and no repository is left behind."""
    with pytest.raises(TargetError):
        upload(sources, tmp_path, who="reader")
    assert hub_server.hub().head(target) is None


def test_a_card_the_hub_does_not_take_is_refused_before_the_weights(
    hub_server: HubServer, sources: Release, target: str, tmp_path: Path
) -> None:
    """The Hub's own check of the card's YAML runs first; nothing is committed."""
    folder = tmp_path / "documents"
    folder.mkdir()
    (folder / "README.md").write_text("---\ntags: {a: 1}\n---\n")
    other = replace(published(sources, folder), repo=randomly("acme/card"))
    before = len(hub_server.requests())
    with pytest.raises(TargetError, match="tags"):
        publish(other, hub_server.hub(), REPORTER)
    assert not [path for _, path, _ in hub_server.requests()[before:] if "lfs" in path]
    assert other.title not in commits(hub_server, other.repo)
