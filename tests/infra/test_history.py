"""The invented past of the base model, on a real Hub stand-in."""

from collections.abc import Callable
from fnmatch import fnmatch
from itertools import pairwise
from pathlib import Path

import pytest
from huggingface_hub import CommitOperationAdd, HfApi

from infra.local.base_model.build import build
from infra.local.base_model.history import Step, history
from infra.local.seed import seed
from tasks.core.checkpoint import Checkpoint
from tests.conftest import HubServer


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("built")
    build(folder, layers=2)
    return folder


def changes(api: HfApi, repo: str) -> list[set[str]]:
    """Names of the files that each commit changed, oldest first, but for the repository's first."""
    commits = [commit.commit_id for commit in reversed(api.list_repo_commits(repo))]
    trees = [
        {
            f.rfilename: f.blob_id
            for f in api.model_info(repo, revision=c, files_metadata=True).siblings or []
        }
        for c in commits
    ]
    return [{name for name in new if new[name] != old.get(name)} for old, new in pairwise(trees)]


def test_each_commit_changes_one_kind_of_file(hub_server: HubServer, built: Path) -> None:
    """A whole, the card, the tokenizer, one shard, the card; `main` is what was built."""
    api, repo = hub_server.api(), "acme/with-history"
    seed(api, repo, "model", built, history(built))
    first, *later = changes(api, repo)
    assert first >= {"config.json", "README.md", "tokenizer.json"}
    kinds: list[Callable[[str], bool]] = [
        lambda name: name == "README.md",
        lambda name: name == "tokenizer_config.json",
        lambda name: fnmatch(name, "*.safetensors"),
        lambda name: name == "README.md",
    ]
    assert len(later) == len(kinds)
    for changed, kind in zip(later, kinds, strict=True):
        assert len(changed) == 1
        assert kind(changed.pop())
    for file in api.list_repo_tree(repo):
        if file.path != ".gitattributes":
            path = api.hf_hub_download(repo, file.path, local_dir=built.parent / "main")
            assert Path(path).read_bytes() == (built / file.path).read_bytes()


def test_an_interrupted_history_is_gone_on_with(hub_server: HubServer, built: Path) -> None:
    """After a seeding that died at the second commit, the next makes the others, and no more."""
    api, repo, steps = hub_server.api(), "acme/interrupted", history(built)

    api.create_repo(repo)
    for step in steps[:2]:
        adding = [CommitOperationAdd(path, data) for path, data in step.files.items()]
        api.create_commit(repo, adding, commit_message=step.title)
    seed(api, repo, "model", built, steps)
    seed(api, repo, "model", built, steps)
    titles = [commit.title for commit in reversed(api.list_repo_commits(repo))]
    assert titles == ["initial commit", *(step.title for step in steps)]


def test_the_older_weights_are_a_whole_checkpoint(built: Path, tmp_path: Path) -> None:
    """The first commit's tensors differ from the last's in one tensor, by the last bit."""
    older: Step = history(built)[0]
    for name, data in older.files.items():
        (tmp_path / name).write_bytes(data)
    before, after = Checkpoint(tmp_path), Checkpoint(built)
    assert before.tensors == after.tensors
    (changed,) = [name for name in after.where if before.read(name) != after.read(name)]
    pairs = zip(before.read(changed), after.read(changed), strict=True)
    assert {a ^ b for a, b in pairs} == {0, 1}
    assert history(built) == history(built)
