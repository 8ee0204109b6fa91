"""The pages that a browser shows."""

import hashlib
from html.parser import HTMLParser

import httpx
import pytest
from huggingface_hub import CommitOperationAdd

from tests.infra.hub.case import ALICE, Server

# the client's own call of its HTTP library, on every plain upload
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


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
