"""What goes wrong between the Hub and an upload."""

import json
from collections.abc import Callable

import httpx2
from huggingface_hub import CommitOperationAdd, HfApi
from huggingface_hub.errors import HfHubHTTPError

from tests.e2e.house import wait_for
from tests.faults.case import Case
from tests.faults.fault import ENOUGH, Cut, Fault, Flip, Slow, Then
from tests.faults.point import Point
from tests.faults.proof import Published, prove

LFS, COMMIT, TAG = "/_lfs/upload/", "/commit/main", "/tag/"
AT = 1 << 20
RATE = 2e6
HUB_SECONDS = 60.0
NOTE = "NOTES.txt"


def broken(make: Callable[[Case], Fault]) -> Callable[[Case], None]:
    """A release with a fault between the Hub and its clients."""

    def act(case: Case) -> None:
        case.unsend()
        with case.stand.hub.broken(make(case)), case.release():
            pass

    return act


def dead_hub(case: Case) -> Callable[[], None]:
    """SIGKILL of the Hub."""
    return lambda: case.stand.kill("hub")


def hub_of(case: Case) -> HfApi:
    """The Hub, past the proxy."""
    settings = case.stand.settings
    return HfApi(settings.hub_endpoint, token=settings.hub_token.get_secret_value())


def somebody_commits(case: Case) -> None:
    """Another person's commit to the target."""
    hub_of(case).create_commit(
        case.target, [CommitOperationAdd(NOTE, b"mine\n")], commit_message="Somebody was here"
    )


def become(role: str, case: Case) -> None:
    """Change the token's role; the Hub reads it when it starts."""
    token = case.stand.settings.hub_token.get_secret_value()
    users = {token: {"name": "roundhouse", "role": role}}
    case.stand.layout.hub_tokens.write_text(json.dumps(users))
    case.stand.kill("hub")

    def known() -> bool:
        try:
            me = hub_of(case).whoami()
        except (HfHubHTTPError, httpx2.TransportError):
            return False
        return bool(me["auth"]["accessToken"]["role"] == role)

    # Not by the stack's status, which gives the stack's own token its right to write back.
    wait_for(f"a token that may {role}", known, HUB_SECONDS)


def moved(case: Case) -> None:
    """Somebody commits after the run has read the head and before its own commit arrives."""
    case.foreign.add(NOTE)
    with (
        case.stand.hub.broken(Fault("POST", COMMIT, before=lambda: somebody_commits(case))),
        case.release(),
    ):
        pass


def one_more_commit(case: Case, reference: Published) -> None:
    """As ever, with the other person's commit in between."""
    prove(case, reference, commits=3)


POINTS = (
    Point(
        "hub-killed-lfs",
        "SIGKILL of the Hub in the middle of a large file",
        broken(lambda case: Fault("PUT", LFS, up=lambda: Then(AT, dead_hub(case)))),
    ),
    Point(
        "hub-killed-before-commit",
        "SIGKILL of the Hub when the commit arrives, before it is applied",
        broken(lambda case: Fault("POST", COMMIT, before=dead_hub(case))),
    ),
    Point(
        "hub-killed-after-commit",
        "SIGKILL of the Hub when the commit is applied, before it is answered",
        broken(lambda case: Fault("POST", COMMIT, lost=True, after=dead_hub(case))),
    ),
    Point(
        "hub-killed-before-tag",
        "SIGKILL of the Hub when the tag is asked for: a commit without tag",
        broken(lambda case: Fault("POST", TAG, before=dead_hub(case))),
    ),
    Point(
        "tag-answer-lost",
        "the Hub's answer to the tag is lost",
        broken(lambda _: Fault("POST", TAG, lost=True)),
    ),
    Point(
        "repository-answer-lost",
        "the Hub's answer to making the repository is lost",
        broken(lambda _: Fault("POST", "/api/repos/create", lost=True)),
    ),
    Point(
        "upload-reset",
        "the connection is reset in the middle of a large file",
        broken(lambda _: Fault("PUT", LFS, up=lambda: Cut(AT))),
    ),
    Point(
        "upload-bit-flip",
        "one bit of a large file changed on the way to the Hub",
        broken(lambda _: Fault("PUT", LFS, up=lambda: Flip(AT))),
    ),
    Point(
        "upload-503",
        "the Hub answers a large file, then the commit, with 503 and Retry-After",
        broken(
            lambda _: Fault(
                "POST", f"{COMMIT}|/preupload/", times=3, answer=(503, {"Retry-After": "1"})
            )
        ),
    ),
    Point(
        "upload-slow",
        "the Hub takes two megabytes a second",
        broken(lambda _: Fault("PUT", LFS, times=ENOUGH, up=lambda: Slow(RATE))),
    ),
    Point(
        "parent-moved",
        "somebody else commits to the target between its reading and the commit",
        moved,
        check=one_more_commit,
    ),
    Point(
        "token-read-only",
        "the token becomes read-only between plan and upload",
        broken(lambda case: Fault("POST", "/preupload/", before=lambda: become("read", case))),
        mend=lambda case: become("write", case),
    ),
)
