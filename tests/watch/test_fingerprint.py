"""What of a commit counts, on the base model's own history."""

import random
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.local.base_model.build import build
from infra.local.base_model.history import history
from infra.local.seed import seed
from tasks.clients.hub_files import HubFile
from tasks.core.companions import companion_files
from tasks.watch.fingerprint import fingerprint
from tests.conftest import HubServer


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("built")
    build(folder, layers=2)
    return folder


def test_history_changes_what_each_commit_says(hub_server: HubServer, built: Path) -> None:
    """Card: neither; tokenizer: behaviour alone; shard: weights alone; card: neither."""
    api, hub, repo = hub_server.api(), hub_server.hub(), "acme/fingerprints"
    seed(api, repo, "model", built, history(built))
    commits = [commit.commit_id for commit in reversed(api.list_repo_commits(repo))]
    first, *rest = [fingerprint(commit, hub.files(repo, commit)) for commit in commits]
    assert not first.weights
    changed = [
        (old.weights != new.weights, old.behaviour != new.behaviour) for old, new in pairwise(rest)
    ]
    assert changed == [(False, False), (False, True), (True, False), (False, False)]


def test_each_file_that_is_released_counts(built: Path) -> None:
    """A change of any file that a release copies from its base changes the behaviour."""
    paths = [*companion_files(built), "config.json"]
    assert {"tokenizer.json", "chat_template.jinja", "generation_config.json"} <= set(paths)
    files = [HubFile(path, 1, "", f"id of {path}") for path in paths]
    before = fingerprint("c", files)
    for path in paths:
        changed = [HubFile(f.path, 1, "", "other") if f.path == path else f for f in files]
        after = fingerprint("c", changed)
        assert (after.weights, after.behaviour != before.behaviour) == ("", True), path


FILES = st.sampled_from(
    ["README.md", "model.safetensors", "original/model.safetensors", "photo.png", "config.json"]
)


@given(st.dictionaries(FILES, st.text("ab", min_size=1, max_size=2)), st.randoms())
def test_order_does_not_count_and_prose_never(held: dict[str, str], rng: random.Random) -> None:
    """Fingerprints are of the set of relevant files, whatever lies beside them."""
    files = [HubFile(path, 1, "", content) for path, content in held.items()]
    shuffled = list(files)
    rng.shuffle(shuffled)
    relevant = [f for f in files if f.path in {"model.safetensors", "config.json"}]
    assert fingerprint("c", files) == fingerprint("c", shuffled) == fingerprint("c", relevant)
