"""Who sees what, who may write, and how a refusal reads."""

from pathlib import Path

import pytest
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from tests.infra.hub.case import OUTSIDER, READER, Server, commit

# the client's own call of its HTTP library, on every plain upload
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


def test_private_repo_is_hidden(server: Server, repo: str, tmp_path: Path) -> None:
    """To strangers a private repository does not exist; its members read it; it can be opened."""
    server.api().update_repo_settings(repo, private=True)
    for stranger in (None, OUTSIDER):
        with pytest.raises(RepositoryNotFoundError):
            server.api(stranger).model_info(repo)
        with pytest.raises(RepositoryNotFoundError):
            server.api(stranger).hf_hub_download(repo, ".gitattributes", local_dir=tmp_path)
        assert repo not in [model.id for model in server.api(stranger).list_models()]
    assert server.api(READER).model_info(repo).private
    server.api().update_repo_settings(repo, private=False)
    assert not server.api(None).model_info(repo).private


def test_gated_repo_needs_a_grant(server: Server, repo: str, tmp_path: Path) -> None:
    """A gated repository is listed for all, but its files need membership or a grant."""
    server.api().update_repo_settings(repo, gated="manual")
    for stranger in (None, OUTSIDER):
        api = server.api(stranger)
        assert api.model_info(repo).gated == "manual"
        with pytest.raises(GatedRepoError):
            api.auth_check(repo)
        with pytest.raises(GatedRepoError):
            api.hf_hub_download(repo, ".gitattributes", local_dir=tmp_path)
    server.api().grant_access(repo, "outsider", repo_type="model")
    assert server.api(OUTSIDER).hf_hub_download(repo, ".gitattributes", local_dir=tmp_path)


@pytest.mark.parametrize(("token", "status"), [(READER, 403), (OUTSIDER, 403), ("hf_bad", 401)])
def test_writes_need_rights(server: Server, token: str, status: int) -> None:
    """A read token, a foreigner and an unknown token cannot create, commit, tag or delete."""
    repo = server.api().create_repo("acme/guarded", exist_ok=True).repo_id
    api = server.api(token)
    for attempt in (
        lambda: api.create_repo("acme/other"),
        lambda: commit(api, repo, {"a": b"1"}),
        lambda: api.create_tag(repo, tag="t"),
        lambda: api.delete_repo(repo),
    ):
        with pytest.raises(HfHubHTTPError) as refused:
            attempt()
        assert refused.value.response.status_code == status
    assert [entry.title for entry in server.api().list_repo_commits(repo)] == ["initial commit"]


def test_what_is_absent(server: Server, repo: str, tmp_path: Path) -> None:
    """A missing repository, revision or file becomes the client's own exception for it."""
    api = server.api()
    with pytest.raises(RepositoryNotFoundError):
        api.model_info("acme/absent")
    with pytest.raises(RevisionNotFoundError):
        api.snapshot_download(repo, revision="absent", local_dir=tmp_path)
    with pytest.raises(EntryNotFoundError):
        api.hf_hub_download(repo, "absent", local_dir=tmp_path)
