"""`verify`, `rollback` and `restore` as commands: what they say, and how they end."""

import json
from collections.abc import Callable
from pathlib import Path

from tests.command import roundhouse, roundhouse_here
from tests.conftest import Keys
from tests.verify.conftest import House, Published

SHARD = "model-00001-of-00002.safetensors"


def content(house: House, repo: str, revision: str = "main") -> dict[str, str]:
    """Git's object id of every file."""
    hub = house.hub_server.hub()
    return {file.path: file.blob_id for file in hub.files(repo, hub.resolve(repo, revision))}


def test_verify_says_which_file_and_exits_with_1(
    house: House, published: Published, tmp_path: Path
) -> None:
    """Good: 0, with key and count; changed: 1, and the file is named; also as JSON."""
    folder = tmp_path / "there"
    house.hub_server.api().snapshot_download(published.repo, local_dir=folder)
    good = roundhouse("verify", str(folder), "--key", str(house.keys.public))
    assert good.status == 0
    assert house.keys.signer.verifier.name in good.out
    (folder / SHARD).write_bytes(b"other")
    bad = roundhouse("verify", str(folder), "--key", str(house.keys.public), "--json")
    told = json.loads(bad.out)
    assert (bad.status, told["good"]) == (1, False)
    assert [problem["path"] for problem in told["problems"]] == [SHARD]
    plain = roundhouse("verify", str(folder), "--unsigned")
    assert plain.status == 1
    assert SHARD in plain.out
    assert "signatures were not checked" in plain.out


def test_verify_reaches_hub_and_archive(house: House, published: Published, tmp_path: Path) -> None:
    """The key comes from the environment; another one is refused on both."""
    other = str(Keys.make(tmp_path / "other").public)
    for address in (published.at, published.archive.uri):
        assert roundhouse_here("verify", address, **house.env).status == 0
        refused = roundhouse_here("verify", address, "--key", other, **house.env)
        assert refused.status == 1
        assert "model.sig" in refused.out


def test_verify_without_a_key_is_bad_input(tmp_path: Path) -> None:
    """No key anywhere, or a file that is none: exit 2, and what to do."""
    said = roundhouse_here("verify", str(tmp_path))
    assert said.status == 2
    assert "--key" in said.err
    (tmp_path / "noise").write_text("noise")
    assert roundhouse_here("verify", str(tmp_path), "--key", str(tmp_path / "noise")).status == 2


def test_rollback_is_one_command(house: House, publish: Callable[..., Published]) -> None:
    """One commit on top whose content equals the earlier release's; forward again likewise."""
    old = publish()
    new = publish(old.repo, "demo-01234567-bbbbbbbbbb")
    assert content(house, old.repo) != content(house, old.repo, old.upload.tag)
    before = len(house.hub_server.api().list_repo_commits(old.repo))
    for times, tag in enumerate((old.upload.tag, new.upload.tag), start=1):
        said = roundhouse_here("rollback", old.repo, "--to", tag, "--json", **house.env)
        assert said.status == 0, said.err
        commits = house.hub_server.api().list_repo_commits(old.repo)
        assert len(commits) == before + times
        assert json.loads(said.out)["commit"] == commits[0].commit_id
        assert content(house, old.repo) == content(house, old.repo, tag)
        assert house.verify(f"hub:{old.repo}").release == tag
    again = roundhouse_here("rollback", old.repo, "--to", new.upload.tag, **house.env)
    assert again.status == 0
    assert len(house.hub_server.api().list_repo_commits(old.repo)) == before + 2


def test_rollback_moves_no_weights(house: House, publish: Callable[..., Published]) -> None:
    """The Hub has them: nothing large is downloaded or uploaded."""
    old = publish()
    publish(old.repo, "demo-01234567-bbbbbbbbbb")
    before = len(house.hub_server.requests())
    assert roundhouse_here("rollback", old.repo, "--to", old.upload.tag, **house.env).status == 0
    asked = house.hub_server.requests()[before:]
    assert not [path for _, path, _ in asked if "lfs" in path or path.endswith(".safetensors")]


def test_rollback_to_what_is_not_good_changes_nothing(
    house: House, published: Published, tmp_path: Path
) -> None:
    """No such tag, a tag on other files, a key of somebody else, a token that only reads."""
    api, repo = house.hub_server.api(), published.repo
    api.upload_file(path_or_fileobj=b"{}", path_in_repo="config.json", repo_id=repo)
    api.create_tag(repo, tag="forged")
    api.upload_file(path_or_fileobj=b"{ }", path_in_repo="config.json", repo_id=repo)
    head = house.hub_server.hub().head(repo)
    api.update_repo_settings(repo, private=False)
    reader = {"HF_TOKEN": house.hub_server.token("reader")}
    other = ("--key", str(Keys.make(tmp_path / "other").public))
    for tag, options, env, status, told in [
        ("no-such", (), {}, 2, "has no release no-such"),
        ("forged", (), {}, 1, "config.json"),
        (published.upload.tag, other, {}, 1, "model.sig"),
        (published.upload.tag, (), reader, 2, "role read"),
    ]:
        said = roundhouse_here("rollback", repo, "--to", tag, *options, **house.env | env)
        assert (said.status, told in said.err) == (status, True), said.err
    assert house.hub_server.hub().head(repo) == head


def test_a_lost_repository_comes_back_from_the_archive(
    house: House, published: Published, tmp_path: Path
) -> None:
    """From S3 alone: the commit of the new repository has the same content, and verifies."""
    before = content(house, published.repo, published.upload.tag)
    house.hub_server.api().delete_repo(published.repo)
    folder = str(tmp_path / "back")
    said = roundhouse_here("restore", published.archive.uri, folder, "--publish", **house.env)
    assert said.status == 0, said.err
    assert content(house, published.repo, published.upload.tag) == before
    assert house.verify(published.at).good
    assert house.hub_server.api().repo_info(published.repo).private


def test_a_damaged_archive_is_not_published(
    house: House, published: Published, tmp_path: Path
) -> None:
    """Whoever forged the archive has no key: nothing reaches the Hub."""
    house.hub_server.api().delete_repo(published.repo)
    other = str(Keys.make(tmp_path / "other").public)
    folder = str(tmp_path / "back")
    said = roundhouse_here(
        "restore", published.archive.uri, folder, "--publish", "--key", other, **house.env
    )
    assert said.status == 1
    assert "model.sig" in said.err
    assert house.hub_server.hub().head(published.repo) is None
