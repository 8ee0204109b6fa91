"""The Hub stand-in, driven by an unmodified ``huggingface_hub`` over real HTTP."""

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx
import httpx2
import huggingface_hub.constants
import numpy as np
import pytest
from huggingface_hub import CommitOperationAdd, CommitOperationCopy, CommitOperationDelete, HfApi
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from safetensors.numpy import save

ALICE, READER, OUTSIDER = "hf_alice", "hf_reader", "hf_outsider"
USERS = {
    ALICE: {"name": "alice", "orgs": ["acme"]},
    READER: {"name": "reader", "role": "read", "orgs": ["acme"]},
    OUTSIDER: {"name": "outsider"},
}
CARD = b"---\nlicense: mit\nbase_model: acme/base\ntags: [nvfp4]\n---\n# Hello\n"
# small limits, so that small files take every path
LIMITS = ("--lfs-threshold=50000", "--multipart-threshold=100000", "--part-size=40000")


# the client's own call of its HTTP library, on every plain upload
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


class Server:
    """The stand-in as a process of its own, on a port that stays the same over restarts."""

    def __init__(self, root: Path, *flags: str) -> None:
        self.root, self.log = root, root / "requests.jsonl"
        root.mkdir(exist_ok=True)
        tokens = root / "tokens.json"
        tokens.write_text(json.dumps(USERS))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self._command = [
            *(sys.executable, "-m", "infra.local.hub", f"--root={root / 'state'}"),
            *(f"--port={port}", f"--token-file={tokens}", f"--log-file={self.log}"),
            *(*LIMITS, *flags),
        ]
        self.start()

    def start(self) -> None:
        """Start, and wait for the first answer."""
        self.process = subprocess.Popen(self._command)
        deadline = time.monotonic() + 30
        while not self._answers():
            assert self.process.poll() is None, "the server ended"
            assert time.monotonic() < deadline, "the server does not answer"
            time.sleep(0.05)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal, wait for the end, give the exit status."""
        self.process.send_signal(number)
        return self.process.wait(20)

    def api(self, token: str | None = ALICE) -> HfApi:
        """A client that calls with ``token``, or without any."""
        return HfApi(endpoint=self.url, token=token or False)

    def requests(self) -> list[dict[str, Any]]:
        """The request log."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def blobs(self) -> list[Path]:
        """Every stored content."""
        return [path for path in (self.root / "state" / "blobs").rglob("*") if path.is_file()]

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/healthz", timeout=1).status_code == 200
        except httpx.TransportError:
            return False


@pytest.fixture(autouse=True)
def plain_transfer(monkeypatch: pytest.MonkeyPatch) -> None:
    # the client reads this setting from the environment when it is first imported
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("hub"))
    yield server
    assert server.stop() == 0


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path / "own")
    yield server
    server.stop(signal.SIGKILL)


@pytest.fixture
def repo(server: Server, request: pytest.FixtureRequest) -> str:
    return str(server.api().create_repo(f"acme/{request.node.name}").repo_id)


def write_tree(folder: Path, files: dict[str, bytes]) -> Path:
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return folder


def read_tree(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".cache" not in path.parts
    }


def commit(api: HfApi, repo: str, files: dict[str, bytes], **options: Any) -> str:
    adds = [CommitOperationAdd(path, content) for path, content in files.items()]
    return str(api.create_commit(repo, adds, commit_message="change", **options).oid)


def test_folder_comes_back_byte_for_byte(server: Server, repo: str, tmp_path: Path) -> None:
    """What upload_folder sends, snapshot_download returns, whichever way each file travels."""
    rng = np.random.default_rng(7)
    files = {"README.md": CARD, "empty": b"", "a folder/ü +%23.txt": b"name", "a/b/c.json": b"{}"}
    files |= {"parts.safetensors": rng.bytes(250_000), "whole.safetensors": rng.bytes(60_000)}
    files |= {"again.bin": files["parts.safetensors"], "large.txt": b"x" * 90_000}
    api = server.api()
    api.upload_folder(repo_id=repo, folder_path=write_tree(tmp_path / "up", files))
    down = Path(api.snapshot_download(repo, local_dir=tmp_path / "down"))
    received = read_tree(down)
    assert received.pop(".gitattributes")
    assert received == files
    kinds = Counter(
        row["path"].split("/")[2] for row in server.requests() if "/_lfs/" in row["path"]
    )
    assert kinds["part"] >= 7
    assert kinds["upload"] >= 2
    stored = Counter(hashlib.sha256(path.read_bytes()).hexdigest() for path in server.blobs())
    assert stored[hashlib.sha256(files["again.bin"]).hexdigest()] == 1


def test_ids_are_what_git_computes(server: Server, repo: str, tmp_path: Path) -> None:
    """Blob, folder and commit ids equal those of the git program for the same content."""
    files = {"a.txt": b"1", "a/x.txt": b"2", "a/b/y.txt": b"3", "a-b.txt": b"4"}
    api = server.api()
    commit(api, repo, files)
    entries = {entry.path: entry for entry in api.list_repo_tree(repo, recursive=True)}
    clone = write_tree(tmp_path / "clone", files)

    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=clone, capture_output=True, check=True)
        return done.stdout.decode().strip()

    git("init", "--quiet")
    git("add", ".")
    tree = git("write-tree")
    for path in files:
        assert getattr(entries[path], "blob_id", None) == git("rev-parse", f"{tree}:{path}")
    for path in ("a", "a/b"):
        assert getattr(entries[path], "tree_id", None) == git("rev-parse", f"{tree}:{path}")


def test_header_is_read_by_range(server: Server, repo: str) -> None:
    """get_safetensors_metadata reads a header through the redirect, and so does a raw Range."""
    tensors = {"w": np.zeros((100, 200), np.float32), "b": np.ones(3, np.float32)}
    content = save(tensors)
    commit(server.api(), repo, {"model.safetensors": content})
    metadata = server.api().get_safetensors_metadata(repo)
    assert metadata.parameter_count == {"F32": 20_003}
    url = f"{server.url}/{repo}/resolve/main/model.safetensors"
    redirect = httpx.head(url)
    assert redirect.status_code == 302
    assert redirect.headers["x-linked-size"] == str(len(content))
    assert httpx.URL(redirect.headers["location"]).host == "localhost"
    part = httpx.get(url, headers={"Range": "bytes=8-15"}, follow_redirects=True)
    assert (part.status_code, part.content) == (206, content[8:16])


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


def test_copy_and_folder_deletion(server: Server, repo: str) -> None:
    """A copied LFS file needs no second upload; a deleted folder takes its files along."""
    api = server.api()
    commit(api, repo, {"old/big.bin": os.urandom(70_000), "old/note.txt": b"n"})
    api.create_commit(
        repo,
        [CommitOperationCopy("old/big.bin", "new.bin"), CommitOperationDelete("old/")],
        commit_message="move",
    )
    assert sorted(api.list_repo_files(repo)) == [".gitattributes", "new.bin"]
    last = api.get_paths_info(repo, ["new.bin"], expand=True)[0].last_commit
    assert last is not None
    assert last.title == "move"


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


def test_listing_is_filtered_and_paged(server: Server) -> None:
    """list_models walks the pages behind Link and honours author, search, filter and expand."""
    api = server.api()
    for number in range(5):
        api.create_repo(f"acme/page-{number}", exist_ok=True)
    commit(api, "acme/page-3", {"README.md": CARD})
    link = httpx.get(f"{server.url}/api/models", params={"search": "page-", "limit": "2"})
    assert len(link.json()) == 2
    found, url = [], str(link.url)
    while url:
        page = httpx.get(url)
        found += [row["id"] for row in page.json()]
        url = page.links.get("next", {}).get("url", "")
    assert sorted(found) == [f"acme/page-{number}" for number in range(5)]
    assert [m.id for m in api.list_models(search="page", filter="license:mit")] == ["acme/page-3"]
    assert not list(api.list_models(author="nobody"))
    newest = next(iter(api.list_models(search="page", sort="last_modified", expand=["sha"])))
    assert (newest.id, newest.sha) == ("acme/page-3", api.model_info("acme/page-3").sha)


def test_wrong_card_is_refused(server: Server, repo: str) -> None:
    """README metadata that is no YAML, or of a wrong type, stops the commit with the reason."""
    for front_matter, reason in (("a: [", "YAML"), ("tags: {a: 1}", "tags")):
        readme = f"---\n{front_matter}\n---\n".encode()
        with pytest.raises(ValueError, match=reason):
            commit(server.api(), repo, {"README.md": readme})


def test_upload_that_differs_is_refused(server: Server, repo: str) -> None:
    """Bytes that do not hash to what was announced are not kept; unsigned links do not work."""
    oid = hashlib.sha256(b"announced").hexdigest()
    answer = httpx.post(
        f"{server.url}/{repo}.git/info/lfs/objects/batch",
        json={"operation": "upload", "objects": [{"oid": oid, "size": 9}]},
        headers={"Authorization": f"Bearer {ALICE}"},
    )
    link = answer.json()["objects"][0]["actions"]["upload"]["href"]
    assert httpx.put(link, content=b"different").status_code == 400
    assert httpx.put(link.split("?")[0], content=b"announced").status_code == 403
    assert oid not in {path.name for path in server.blobs()}
    assert httpx.put(link, content=b"announced").status_code == 200
    assert oid in {path.name for path in server.blobs()}


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


_XET_CLIENT = """
import hashlib, os, sys
from pathlib import Path
from huggingface_hub import HfApi
api, what, path = HfApi(), sys.argv[1], Path(sys.argv[2])
if what == "up":
    api.create_repo("acme/xet", exist_ok=True)
    api.upload_folder(repo_id="acme/xet", folder_path=path)
    input("uploaded")  # stays open: another client must not mind
else:
    api.snapshot_download("acme/xet", local_dir=path)
"""


def test_xet_round_trip(tmp_path: Path) -> None:
    """Xet on: one client uploads and stays, another downloads the same bytes, plain reads work."""
    server = Server(tmp_path / "xet", "--xet")
    env = {**os.environ, "HF_ENDPOINT": server.url, "HF_TOKEN": ALICE}
    env |= {"HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_XET": "0"}
    files = {"model.safetensors": os.urandom(2_000_000), "config.json": b"{}"}
    write_tree(tmp_path / "up", files)
    client = [sys.executable, "-c", _XET_CLIENT]
    try:
        with subprocess.Popen(
            [*client, "up", str(tmp_path / "up")],
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as uploader:
            assert uploader.stdout is not None
            assert uploader.stdout.read(8) == b"uploaded"
            subprocess.run([*client, "down", str(tmp_path / "down")], env=env, check=True)
            uploader.communicate(b"\n")
        received = read_tree(tmp_path / "down")
        assert {name: received[name] for name in files} == files
        used = {row["path"].split("/")[5] for row in server.requests() if "xet-" in row["path"]}
        assert used == {"xet-write-token", "xet-read-token"}
        assert not [row for row in server.requests() if "/_lfs/" in row["path"]]
        url = f"{server.url}/acme/xet/resolve/main/model.safetensors"
        plain = httpx.get(url, headers={"Range": "bytes=100-199"}, follow_redirects=True)
        assert plain.content == files["model.safetensors"][100:200]
    finally:
        server.stop()


class _Elements(HTMLParser):
    """Tags, link targets and text of a page, as a browser would see them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.targets: list[str] = []
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.targets += [value or "" for name, value in attrs if name in {"href", "src"}]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_pages_show_and_run_nothing_foreign(server: Server, repo: str) -> None:
    """The pages show card, metadata, files and history; markup of the authors stays text."""
    evil = '<script>alert(1)</script><img src=x onerror="alert(2)">'
    readme = (
        f"---\nlicense: mit\nnote: '{evil}'\n---\n# Hello\n{evil}\n\n[x](javascript:alert(3))\n"
    )
    readme += "[report](docs/report.md#top) ![plot](plot.png)\n"
    files = {"README.md": readme.encode(), "docs/report.md": b"# Report", "x.html": evil.encode()}
    api = server.api()
    adds = [CommitOperationAdd(path, content) for path, content in files.items()]
    head = api.create_commit(repo, adds, commit_message=f"title {evil}").oid
    api.create_tag(repo, tag="v1")
    paths = ["", "/tree/main", "/tree/main/docs", "/blob/main/README.md", "/blob/main/x.html"]
    pages = {}
    for path in (*paths, "/commits/v1", f"/commit/{head}"):
        answer = httpx.get(f"{server.url}/{repo}{path}")
        assert answer.status_code == 200
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        pages[path] = _Elements(answer.text)
        assert not pages[path].tags & {"script", "iframe", "object"}
        assert "onerror" not in pages[path].attributes
        assert not [t for t in pages[path].targets if t.startswith("javascript")]
    assert "alert(1)" in pages[""].text
    assert "license" in pages[""].text
    assert f"/{repo}/blob/{head}/docs/report.md#top" in pages[""].targets
    assert f"/{repo}/resolve/{head}/plot.png" in pages[""].targets
    assert hashlib.sha256(readme.encode()).hexdigest() in pages["/tree/main"].text
    assert "tag v1" in pages["/commits/v1"].text
    raw = httpx.get(f"{server.url}/{repo}/resolve/main/x.html")
    assert raw.headers["content-type"].startswith("text/plain")


def test_private_page_asks_for_a_token(server: Server, repo: str) -> None:
    """A browser is shown the way to sign in, and a token as password opens the page."""
    server.api().update_repo_settings(repo, private=True)
    refused = httpx.get(f"{server.url}/{repo}")
    assert refused.status_code == 401
    assert f"/login?next=/{repo}" in refused.text
    assert httpx.get(f"{server.url}/login").headers["www-authenticate"].startswith("Basic")
    basic = httpx.BasicAuth("anyone", ALICE)
    assert httpx.get(f"{server.url}/{repo}", auth=basic).status_code == 200
    away = httpx.get(f"{server.url}/login?next=//elsewhere", auth=basic)
    assert away.headers["location"] == "/"
