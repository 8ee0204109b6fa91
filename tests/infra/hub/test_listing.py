"""Lists of models."""

import httpx
import pytest

from tests.infra.hub.case import CARD, Server, commit

# the client's own call of its HTTP library, on every plain upload
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


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
