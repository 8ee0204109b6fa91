"""The Hub client against the Hub stand-in."""

import struct
from pathlib import Path

import numpy as np
import pytest
from pydantic import SecretStr
from safetensors.numpy import save

from tasks.clients.hub import Hub
from tasks.clients.hub_rights import check_rights
from tasks.core.errors import (
    BaseModelError,
    HubUnavailable,
    IntegrityError,
    RecipeError,
    TargetError,
    TransientError,
)
from tasks.core.schemes import TensorSpec
from tests.conftest import HubServer, free_port

COMMIT_DIGITS = 40


def shard(**shapes: tuple[int, ...]) -> bytes:
    data: bytes = save({name: np.ones(shape, np.float32) for name, shape in shapes.items()})
    return data


def index(**where: str) -> bytes:
    pairs = ", ".join(f'"{name}": "{file}"' for name, file in where.items())
    return f'{{"metadata": {{}}, "weight_map": {{{pairs}}}}}'.encode()


def test_a_branch_and_a_tag_resolve_to_their_commit(hub_server: HubServer) -> None:
    """`main`, a tag and the commit itself name the same 40 hex digits."""
    commit = hub_server.seed("acme/resolve", {"config.json": b"{}"})
    hub = hub_server.hub()
    hub.create_tag("acme/resolve", "v1", commit)
    assert len(commit) == COMMIT_DIGITS
    assert [hub.resolve("acme/resolve", r) for r in ("main", "v1", commit)] == [commit] * 3


def test_an_unknown_repository_or_revision_is_the_askers_mistake(hub_server: HubServer) -> None:
    """Models give BaseModelError, datasets RecipeError; the message names what was asked."""
    hub_server.seed("acme/known", {"config.json": b"{}"})
    with pytest.raises(BaseModelError, match="no repository acme/nowhere"):
        hub_server.hub().resolve("acme/nowhere")
    with pytest.raises(BaseModelError, match="HF_TOKEN"):
        hub_server.hub("").resolve("acme/nowhere")
    with pytest.raises(RecipeError, match="no repository acme/known"):
        hub_server.hub().resolve("acme/known", repo_type="dataset")
    with pytest.raises(BaseModelError, match="v9"):
        hub_server.hub().resolve("acme/known", "v9")


def test_a_gated_base_is_for_those_with_access(hub_server: HubServer) -> None:
    """Anonymous and foreign callers learn about the licence; the owner reads."""
    commit = hub_server.seed("acme/gated", {"config.json": b"{}"}, gated="manual")
    assert hub_server.hub().read_small("acme/gated", commit, "config.json") == b"{}"
    with pytest.raises(BaseModelError, match="HF_TOKEN"):
        hub_server.hub("").read_small("acme/gated", commit, "config.json")
    with pytest.raises(BaseModelError, match="accept its licence"):
        hub_server.hub("stranger").read_small("acme/gated", commit, "config.json")


def test_a_hub_that_is_not_there_is_worth_another_attempt() -> None:
    """A refused connection ends as HubUnavailable, after the client's own attempts."""
    with pytest.raises(HubUnavailable, match="HF_ENDPOINT"):
        Hub(f"http://127.0.0.1:{free_port()}").resolve("acme/any")


def test_files_carry_what_their_bytes_are_checked_with(
    hub_server: HubServer, tmp_path: Path
) -> None:
    """LFS files by sha256, others by git's object id: both verify the download and a change."""
    data = {"model.safetensors": shard(a=(4, 4)), "config.json": b'{"a": 1}'}
    commit = hub_server.seed("acme/files", data)
    hub = hub_server.hub()
    listed = {file.path: file for file in hub.files("acme/files", commit)}
    assert listed["model.safetensors"].sha256
    assert not listed["config.json"].sha256
    for path, content in data.items():
        local = hub.fetch("acme/files", commit, listed[path], tmp_path)
        assert local.read_bytes() == content
        local.write_bytes(content[:-1] + b"!")
        with pytest.raises(IntegrityError):
            listed[path].verify(local)
        assert hub.fetch("acme/files", commit, listed[path], tmp_path).read_bytes() == content


def test_tensors_are_known_without_their_data(hub_server: HubServer) -> None:
    """Names, shapes and shards come from the headers; the megabytes stay on the Hub."""
    big = (1024, 2048)
    commit = hub_server.seed(
        "acme/headers",
        {
            "model-1.safetensors": shard(a=big, b=(3,)),
            "model-2.safetensors": shard(c=(2, 5)),
            "model.safetensors.index.json": index(
                a="model-1.safetensors", b="model-1.safetensors", c="model-2.safetensors"
            ),
        },
    )
    found = hub_server.hub().safetensors_tensors("acme/headers", commit)
    assert found.tensors == {
        "a": TensorSpec("F32", big),
        "b": TensorSpec("F32", (3,)),
        "c": TensorSpec("F32", (2, 5)),
    }
    assert found.where["c"] == "model-2.safetensors"
    assert found.size > 8 * 1024 * 1024


def test_a_header_longer_than_the_first_read_is_read_whole(hub_server: HubServer) -> None:
    """A shard with thousands of tensors is parsed as well as a small one."""
    shapes = {f"tensor_with_a_long_name_{n:05d}": (1,) for n in range(3000)}
    data = shard(**shapes)
    assert struct.unpack("<Q", data[:8])[0] > 128 * 1024
    commit = hub_server.seed("acme/long", {"model.safetensors": data})
    found = hub_server.hub().safetensors_tensors("acme/long", commit)
    assert sorted(found.tensors) == sorted(shapes)


@pytest.mark.parametrize("cut", [3, 20, 200])
def test_a_truncated_shard_is_told_from_its_header(hub_server: HubServer, cut: int) -> None:
    """A shard cut off on the Hub is an IntegrityError that names it, before any download."""
    whole = shard(a=(16, 16))
    commit = hub_server.seed(f"acme/cut-{cut}", {"model.safetensors": whole[:cut]})
    with pytest.raises(IntegrityError, match=r"model\.safetensors"):
        hub_server.hub().safetensors_tensors(f"acme/cut-{cut}", commit)


def test_pickled_weights_are_refused_by_name(hub_server: HubServer) -> None:
    """A repository with .bin weights alone is refused, and the message names the file."""
    commit = hub_server.seed("acme/pickle", {"pytorch_model.bin": b"\x80\x04"})
    with pytest.raises(BaseModelError, match=r"pytorch_model\.bin"):
        hub_server.hub().safetensors_tensors("acme/pickle", commit)


def test_who_may_write_is_known_before_anything_is_made(hub_server: HubServer) -> None:
    """No token, a reading token and a foreign namespace are told apart; nothing is created."""
    hub_server.hub().can_write("acme/new")
    hub_server.hub("stranger").can_write("stranger/new")
    with pytest.raises(TargetError, match="needs a token"):
        hub_server.hub("").can_write("acme/new")
    with pytest.raises(TargetError, match="role read"):
        hub_server.hub("reader").can_write("reader/new")
    with pytest.raises(TargetError, match="namespace acme"):
        hub_server.hub("stranger").can_write("acme/new")
    wrong = Hub(hub_server.url, SecretStr("hf_wrong"))
    with pytest.raises(TargetError, match="does not accept the token"):
        wrong.can_write("acme/new")
    assert hub_server.hub().head("acme/new") is None


def test_a_fine_grained_token_writes_where_its_scopes_say() -> None:
    """Scopes name users, organisations or single repositories; reading scopes do not count."""
    scopes = [
        {"entity": {"type": "org", "name": "acme"}, "permissions": ["repo.write"]},
        {"entity": {"type": "model", "name": "bob/one"}, "permissions": ["repo.write"]},
        {"entity": {"type": "org", "name": "closed"}, "permissions": ["repo.content.read"]},
    ]
    token = {"role": "fineGrained", "fineGrained": {"scoped": scopes}}
    me = {"name": "bob", "orgs": [], "auth": {"accessToken": token}}
    check_rights("acme/any", me)
    check_rights("bob/one", me)
    for repo in ("bob/two", "closed/any"):
        with pytest.raises(TargetError, match="namespace"):
            check_rights(repo, me)


def test_a_commit_holds_all_files_at_once(hub_server: HubServer, tmp_path: Path) -> None:
    """Files of both kinds arrive in one commit on the parent, deletions with them."""
    hub = hub_server.hub()
    hub.create_repo("acme/out")
    hub.create_repo("acme/out")
    before = hub.head("acme/out")
    (tmp_path / "w").write_bytes(shard(a=(8, 8)))
    (tmp_path / "c").write_bytes(b"{}")
    files = {"model.safetensors": tmp_path / "w", "evidence/report.json": tmp_path / "c"}
    first = hub.commit("acme/out", files, message="release", parent=before)
    second = hub.commit("acme/out", {}, message="less", delete=["evidence/report.json"])
    paths = {commit: {f.path for f in hub.files("acme/out", commit)} for commit in (first, second)}
    assert set(files) <= paths[first]
    assert paths[first] - paths[second] == {"evidence/report.json"}
    assert hub.commits("acme/out")[:2] == [(second, "less"), (first, "release")]
    assert [commit for commit, _ in hub.commits("acme/out")] == [second, first, before]
    assert hub.commits("acme/nowhere") == []


def test_a_commit_on_a_stale_parent_is_refused(hub_server: HubServer, tmp_path: Path) -> None:
    """Nothing is overwritten blindly: the loser of a race gets a TransientError."""
    hub = hub_server.hub()
    hub.create_repo("acme/race")
    parent = hub.head("acme/race")
    (tmp_path / "c").write_bytes(b"{}")
    hub.commit("acme/race", {"one.json": tmp_path / "c"}, message="one", parent=parent)
    with pytest.raises(TransientError, match="meantime"):
        hub.commit("acme/race", {"two.json": tmp_path / "c"}, message="two", parent=parent)


def test_a_card_that_the_hub_does_not_take_is_refused(
    hub_server: HubServer, tmp_path: Path
) -> None:
    """Metadata that are no YAML are a TargetError, and nothing is committed."""
    hub = hub_server.hub()
    hub.create_repo("acme/bad-card")
    before = hub.head("acme/bad-card")
    (tmp_path / "card").write_text("---\nlicense: [\n---\n")
    with pytest.raises(TargetError, match="does not accept the card"):
        hub.commit("acme/bad-card", {"README.md": tmp_path / "card"}, message="card")
    assert hub.head("acme/bad-card") == before


def test_a_tag_never_moves(hub_server: HubServer, tmp_path: Path) -> None:
    """Tagging the same commit again is fine; another commit is a TargetError."""
    hub = hub_server.hub()
    first = hub_server.seed("acme/tags", {"one.json": b"{}"})
    second = hub_server.seed("acme/tags", {"two.json": b"{}"})
    hub.create_tag("acme/tags", "release-1", first)
    hub.create_tag("acme/tags", "release-1", first)
    assert hub.tags("acme/tags") == {"release-1": first}
    with pytest.raises(TargetError, match="another commit"):
        hub.create_tag("acme/tags", "release-1", second)
    assert hub.tags("acme/nowhere") == {}


def test_the_token_is_in_no_message(hub_server: HubServer) -> None:
    """Neither the client's repr nor its errors hold the token."""
    hub = hub_server.hub("stranger")
    with pytest.raises(TargetError) as caught:
        hub.can_write("acme/new")
    said = f"{hub!r} {vars(hub)['_secret']} {caught.value} {caught.value!r}"
    assert hub_server.token("stranger") not in said


def test_the_licence_is_what_the_card_names(hub_server: HubServer) -> None:
    """`license` of the card, or nothing where there is no card."""
    card = b"---\nlicense: apache-2.0\n---\n# A model\n"
    with_card = hub_server.seed("acme/card", {"README.md": card})
    without = hub_server.seed("acme/no-card", {"config.json": b"{}"})
    assert hub_server.hub().license("acme/card", with_card) == "apache-2.0"
    assert hub_server.hub().license("acme/no-card", without) == ""
