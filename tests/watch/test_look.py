"""One look at watched bases, on a real Hub stand-in and a real S3 server."""

import http.server
import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from uuid import uuid4

import pytest

from tasks.clients.hub import Hub
from tasks.core.progress import Silent
from tasks.watch.look import look
from tasks.watch.orders import Finding, Order, Released, State
from tasks.watch.states import States
from tasks.watch.watchlist import Author, Base, WatchList
from tests.conftest import HubServer, S3Server
from tests.small_base import base_files

TODAY = datetime.now(UTC).date()


@pytest.fixture
def states(s3_server: S3Server) -> States:
    settings = s3_server.settings(archive=f"s3://artifacts/{uuid4().hex}")
    return States.from_settings(settings)


def watched(repo: str, **others: object) -> Base:
    values: dict[str, object] = {"repo": repo, "target": f"{repo}-NVFP4", "recipe": "demo"}
    return Base.model_validate(values | others)


def see(hub: Hub, states: States, *bases: Base, engine: str = "v1") -> list[Finding]:
    return look(WatchList(bases=bases), hub=hub, states=states, engine=engine, reporter=Silent())


def released(states: States, finding: Finding) -> None:
    """What the flow notes once a finding's order has become a release."""
    assert finding.order is not None
    assert finding.known is not None
    uri = f"{states._prefix}/archive/{finding.target}"
    states._store.put_bytes(uri.encode(), f"{uri}/manifest.json")
    done = Released(making=finding.order.making, release_id="r", archive=uri, revision="c")
    order = finding.order.model_copy(update={"status": "released"})
    state = State(base=finding.base, seen=finding.seen, order=order, released=done)
    assert states.write(finding.known, state)


def test_each_kind_of_commit_asks_for_its_own(hub_server: HubServer, states: States) -> None:
    """New base, card, template, weights: requantize, nothing, metadata, requantize."""
    hub, base = hub_server.hub(), watched(f"acme/{uuid4().hex}")
    commit = hub_server.seed(base.repo, base_files())
    (first,) = see(hub, states, base)
    assert first.action == "requantize"
    assert first.order is not None
    assert first.order.parameters["revision"] == commit
    assert "reuse" not in first.order.parameters
    released(states, first)

    hub_server.seed(base.repo, {"README.md": b"---\nlicense: gemma\n---\n# Better words\n"})
    (prose,) = see(hub, states, base)
    assert (prose.action, prose.order) == ("nothing", None)
    assert "prose" in prose.reason

    hub_server.seed(base.repo, {"chat_template.jinja": b"{{ messages[0].content }}"})
    (metadata,) = see(hub, states, base)
    assert metadata.action == "metadata"
    assert metadata.order is not None
    assert metadata.order.parameters["reuse"].endswith(base.target)

    hub_server.seed(base.repo, {"model-00001-of-00002.safetensors": b"other weights"})
    (weights,) = see(hub, states, base)
    assert weights.action == "requantize"
    assert weights.order is not None
    assert "reuse" not in weights.order.parameters
    assert len({f.order.key for f in (first, metadata, weights) if f.order}) == 3


def test_an_unmoved_base_costs_one_request(hub_server: HubServer, states: States) -> None:
    """A commit that was seen is not listed again; an author's models are one request."""
    hub = hub_server.hub()
    base = watched(f"acme/{uuid4().hex}")
    hub_server.seed(base.repo, base_files())
    (first,) = see(hub, states, base)
    released(states, first)
    before = len(hub_server.requests())
    (again,) = see(hub, states, base)
    assert again.action == "nothing"
    assert [(m, s) for m, _, s in hub_server.requests()[before:]] == [("GET", 200)]


def test_a_new_model_of_an_author_is_a_base(hub_server: HubServer, states: States) -> None:
    """New models that match are bases; our own releases, older ones and other names are not."""
    stem = uuid4().hex[:8]
    for name in (f"{stem}-it", f"{stem}-it-NVFP4", f"{stem}-base"):
        hub_server.seed(f"acme/{name}", base_files())
    author = Author(
        author="acme", names=f"{stem}-it*", since=TODAY, target="acme/{name}-NVFP4", recipe="demo"
    )
    later = author.model_copy(update={"since": date(2100, 1, 1)})
    hub = hub_server.hub()
    found = look(
        WatchList(authors=(author, later)), hub=hub, states=states, engine="", reporter=Silent()
    )
    assert [(f.base, f.target, f.action) for f in found] == [
        (f"acme/{stem}-it", f"acme/{stem}-it-NVFP4", "requantize")
    ]


def test_a_lost_archive_asks_for_new_weights(
    hub_server: HubServer, states: States, s3_server: S3Server
) -> None:
    """Where the archived weights are gone, a changed template requantizes, and says why."""
    hub, base = hub_server.hub(), watched(f"acme/{uuid4().hex}")
    hub_server.seed(base.repo, base_files())
    (first,) = see(hub, states, base)
    released(states, first)
    hub_server.seed(base.repo, {"chat_template.jinja": b"{{ messages[0].content }}"})
    (before,) = see(hub, states, base)
    assert before.order is not None
    key = f"{before.order.parameters['reuse']}/manifest.json".removeprefix("s3://artifacts/")
    s3_server.client().delete_object(Bucket="artifacts", Key=key)
    (after,) = see(hub, states, base)
    assert after.action == "requantize"
    assert "gone" in after.reason


def test_a_failed_order_is_not_repeated_until_something_changes(
    hub_server: HubServer, states: States
) -> None:
    """After a failure the base is stuck, also through a new card; new weights end that."""
    hub, base = hub_server.hub(), watched(f"acme/{uuid4().hex}")
    hub_server.seed(base.repo, base_files())
    (first,) = see(hub, states, base)
    assert first.order is not None
    assert first.known is not None
    failed = first.order.model_copy(update={"status": "failed", "outcome": "REGRESSION"})
    assert states.write(first.known, State(base=base.repo, seen=first.seen, order=failed))
    hub_server.seed(base.repo, {"README.md": b"---\nlicense: gemma\n---\n# Words\n"})
    (stuck,) = see(hub, states, base)
    assert stuck.action == "stuck"
    assert "REGRESSION" in stuck.reason
    hub_server.seed(base.repo, {"model-00001-of-00002.safetensors": b"other weights"})
    (again,) = see(hub, states, base)
    assert again.action == "requantize"


def test_an_order_on_its_way_is_waited_for(hub_server: HubServer, states: States) -> None:
    """While a release is made nothing else is ordered for its target, and the Hub is not asked."""
    hub, base = hub_server.hub(), watched(f"acme/{uuid4().hex}")
    hub_server.seed(base.repo, base_files())
    (first,) = see(hub, states, base)
    assert first.known is not None
    assert states.write(first.known, State(base=base.repo, order=first.order))
    before = len(hub_server.requests())
    (waiting,) = see(hub, states, base)
    assert waiting.action == "wait"
    assert waiting.order == first.order
    assert len(hub_server.requests()) == before


def test_two_watchers_make_one_order(hub_server: HubServer, states: States) -> None:
    """Of two that saw the same, one may write its order; both orders have one key."""
    hub, base = hub_server.hub(), watched(f"acme/{uuid4().hex}")
    hub_server.seed(base.repo, base_files())
    pair = [*see(hub, states, base), *see(hub, states, base, engine="v2")]
    written = [
        states.write(f.known, State(base=base.repo, seen=f.seen, order=f.order))
        for f in pair
        if f.known
    ]
    assert sum(known is not None for known in written) == 1
    elsewhere = States(states._store, f"{states._prefix}/elsewhere")
    same = [*see(hub, elsewhere, base), *see(hub, elsewhere, base)]
    assert len({f.order.key for f in same if f.order}) == 1


def test_another_base_of_a_target_starts_anew(hub_server: HubServer, states: States) -> None:
    """What is known of a target counts for the base that it was known of."""
    hub = hub_server.hub()
    one, other = watched(f"acme/{uuid4().hex}"), watched(f"acme/{uuid4().hex}")
    other = other.model_copy(update={"target": one.target})
    for base in (one, other):
        hub_server.seed(base.repo, base_files())
    (first,) = see(hub, states, one)
    released(states, first)
    (found,) = see(hub, states, other)
    assert found.action == "requantize"


class _Busy(http.server.BaseHTTPRequestHandler):
    """Answers 429 to everything."""

    asked = 0

    def do_GET(self) -> None:
        type(self).asked += 1
        self.send_response(429)
        self.send_header("Retry-After", "0")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_GET  # noqa: N815 - the library calls it so

    def log_message(self, *_: object) -> None:
        """Stay silent."""


@pytest.fixture
def busy() -> Iterator[Hub]:
    _Busy.asked = 0
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Busy) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Hub(f"http://127.0.0.1:{server.server_port}")
        server.shutdown()


def test_a_hub_that_says_too_many_requests_is_left_alone(busy: Hub, states: States) -> None:
    """After 429s that outlast the client's patience the other bases are not asked for."""
    found = see(busy, states, *(watched(f"acme/{n}") for n in range(20)))
    assert {f.action for f in found} == {"unseen"}
    assert "429" in found[0].reason
    assert _Busy.asked < 40
    assert all("not asked" in f.reason for f in found[1:])


def test_orders_survive_their_journey(states: States, tmp_path: Path) -> None:
    """A state is read as it was written, order and parameters included."""
    making = {
        "base": {"commit": "c", "weights": "w", "behaviour": "b"},
        "shaping": "s", "judging": "j", "engine": "e",
    }  # fmt: skip
    order = Order.model_validate(
        {"action": "metadata", "reason": "ü", "making": making, "parameters": {"a": {"b": [1]}}}
    )
    known = states.read("a/b", "a/c")
    written = states.write(known, State(base="a/b", order=order))
    assert written
    assert states.read("a/b", "a/c") == written
