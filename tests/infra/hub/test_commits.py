"""Commits, branches and tags: all of one or nothing, in a line, and kept over a kill."""

import signal
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest
from huggingface_hub import CommitOperationAdd, CommitOperationDelete
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, RevisionNotFoundError

from tests.infra.hub.case import Server, commit, read_tree

# the client's own call of its HTTP library, on every plain upload
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


def test_stale_parent_and_bad_step_change_nothing(server: Server, repo: str) -> None:
    """A commit on a stale parent gets 412; one with an impossible step is refused as a whole."""
    api = server.api()
    first = api.model_info(repo).sha
    head = commit(api, repo, {"a": b"1"}, parent_commit=first)
    with pytest.raises(HfHubHTTPError) as stale:
        commit(api, repo, {"a": b"2"}, parent_commit=first)
    assert stale.value.response.status_code == 412
    with pytest.raises(EntryNotFoundError):
        api.create_commit(
            repo,
            [CommitOperationAdd("b", b"new"), CommitOperationDelete("absent")],
            commit_message="half",
        )
    assert api.model_info(repo).sha == head
    assert not api.file_exists(repo, "b")


def test_one_of_many_writers_wins_a_parent(server: Server, repo: str) -> None:
    """Of commits on one parent exactly one lands; without a parent all of them do, in a line."""
    api = server.api()
    parent = api.model_info(repo).sha

    def on_parent(number: int) -> int:
        try:
            commit(api, repo, {f"race-{number}": b"1"}, parent_commit=parent)
        except HfHubHTTPError as error:
            return error.response.status_code
        return 200

    with ThreadPoolExecutor(8) as pool:
        assert Counter(pool.map(on_parent, range(8))) == {200: 1, 412: 7}
        list(pool.map(lambda number: commit(api, repo, {f"all-{number}": b"1"}), range(8)))
    assert sum(name.startswith("all-") for name in api.list_repo_files(repo)) == 8
    assert len(api.list_repo_commits(repo)) == 10


def test_branches_and_tags(server: Server, repo: str) -> None:
    """Refs point where they were set, keep slashes in their names, and exist but once (409)."""
    api = server.api()
    first = api.model_info(repo).sha
    api.create_branch(repo, branch="feature/x")
    head = commit(api, repo, {"only": b"here"}, revision="feature/x")
    api.create_tag(repo, tag="v1", revision="feature/x")
    refs = api.list_repo_refs(repo)
    assert {ref.name: ref.target_commit for ref in refs.branches} == {
        "main": first,
        "feature/x": head,
    }
    assert {ref.name: ref.target_commit for ref in refs.tags} == {"v1": head}
    assert api.model_info(repo, revision=head[:8]).sha == head
    assert not api.file_exists(repo, "only")
    for again in (
        lambda: api.create_branch(repo, branch="feature/x"),
        lambda: api.create_tag(repo, tag="v1"),
        lambda: api.create_repo(repo),
    ):
        with pytest.raises(HfHubHTTPError) as refused:
            again()
        assert refused.value.response.status_code == 409
    api.delete_tag(repo, tag="v1")
    with pytest.raises(RevisionNotFoundError):
        api.model_info(repo, revision="v1")


def test_wrong_card_is_refused(server: Server, repo: str) -> None:
    """README metadata that is no YAML, or of a wrong type, stops the commit with the reason."""
    for front_matter, reason in (("a: [", "YAML"), ("tags: {a: 1}", "tags")):
        readme = f"---\n{front_matter}\n---\n".encode()
        with pytest.raises(ValueError, match=reason):
            commit(server.api(), repo, {"README.md": readme})


def test_state_survives_a_kill(own_server: Server, tmp_path: Path) -> None:
    """After SIGKILL among commits every acknowledged one is there, each whole, and work goes on."""
    api, acknowledged, enough = own_server.api(), [], threading.Event()
    api.create_repo("acme/durable", private=True)
    api.create_tag("acme/durable", tag="start")

    def write() -> None:
        number = 0
        while not enough.is_set():
            pair = {f"{number}.txt": b"x", f"{number}.bin": b"%d" % number * 40_000}
            try:
                commit(api, "acme/durable", pair)
            except (httpx2.TransportError, RuntimeError):
                return  # the server is gone, in the middle of something
            acknowledged.append(number)
            number += 1

    writer = threading.Thread(target=write)
    writer.start()
    while len(acknowledged) < 5:
        time.sleep(0.01)
    own_server.stop(signal.SIGKILL)
    enough.set()
    own_server.start()
    writer.join()
    down = read_tree(Path(api.snapshot_download("acme/durable", local_dir=tmp_path / "down")))
    numbers = {int(name.split(".")[0]) for name in down if name[0].isdigit()}
    assert set(acknowledged) <= numbers
    for number in numbers:
        assert down[f"{number}.txt"] == b"x"
        assert down[f"{number}.bin"] == b"%d" % number * 40_000
    assert [tag.name for tag in api.list_repo_refs("acme/durable").tags] == ["start"]
    commit(api, "acme/durable", {"after": b"1"})
