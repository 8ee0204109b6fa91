"""Errors of huggingface_hub and its HTTP client become ours."""

import inspect
import pickle

import httpx2
import pytest
from huggingface_hub import errors as hub_errors
from huggingface_hub import hf_raise_for_status

from tasks.clients.hub_errors import COVERED, Asked, translate, translated
from tasks.core.errors import (
    BaseModelError,
    HubUnavailable,
    RecipeError,
    ResourceError,
    RoundhouseError,
    TargetError,
    TransientError,
)

ASKED = Asked("read a/b", "a/b", url="https://hub.example/a/b")
LIBRARIES = (hub_errors, httpx2)
WARNINGS = (Warning,)


def exceptions() -> list[type[BaseException]]:
    found = {
        kind
        for library in LIBRARIES
        for _, kind in inspect.getmembers(library, inspect.isclass)
        if issubclass(kind, Exception) and not issubclass(kind, WARNINGS)
    }
    return sorted(found, key=lambda kind: f"{kind.__module__}.{kind.__qualname__}")


def answer(status: int, **headers: str) -> httpx2.Response:
    request = httpx2.Request("GET", "https://hub.example/api/models/a/b")
    return httpx2.Response(status, headers=headers, request=request)


def of_status(status: int) -> hub_errors.HfHubHTTPError:
    return hub_errors.HfHubHTTPError(f"{status} said the server", response=answer(status))


def instance(kind: type[BaseException]) -> BaseException:
    if issubclass(kind, hub_errors.HfHubHTTPError):
        return kind("it failed", response=answer(418))
    made = kind.__new__(kind)
    made.args = ("it failed",)
    if kind is httpx2.HTTPStatusError:
        made.response = answer(418)  # type: ignore[attr-defined]
    return made


@pytest.mark.parametrize("kind", exceptions(), ids=lambda kind: kind.__name__)
def test_every_exception_of_the_libraries_becomes_one_of_ours(kind: type[BaseException]) -> None:
    """No exception class of huggingface_hub or httpx2 lacks a row, and what comes out pickles."""
    assert issubclass(kind, COVERED), f"hub_errors.ROWS has no row for {kind.__name__}"
    made = translate(instance(kind), ASKED)
    assert isinstance(made, RoundhouseError)
    assert str(pickle.loads(pickle.dumps(made))) == str(made)  # noqa: S301 - our own bytes


def test_there_are_exceptions_to_cover() -> None:
    """The walk over the libraries finds their classes (so the test above does run)."""
    assert len(exceptions()) > 70
    assert hub_errors.GatedRepoError in exceptions()
    assert httpx2.ReadTimeout in exceptions()


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 599])
def test_a_busy_hub_is_worth_another_attempt(status: int) -> None:
    """429 and 5xx, through whichever class they come, are HubUnavailable."""
    assert type(translate(of_status(status), ASKED)) is HubUnavailable
    plain = httpx2.HTTPStatusError("no", request=answer(status).request, response=answer(status))
    assert type(translate(plain, ASKED)) is HubUnavailable


@pytest.mark.parametrize("denied", [BaseModelError, RecipeError, TargetError])
@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 422])
def test_a_refusal_is_permanent_and_of_the_kind_that_was_asked_for(
    status: int, denied: type[BaseModelError]
) -> None:
    """A 4xx answer is not retried, and is about the base, the data or the target."""
    made = translate(of_status(status), Asked("do it", "a/b", denied))
    assert type(made) is denied


@pytest.mark.parametrize("status", [409, 412])
def test_a_lost_race_is_worth_another_attempt(status: int) -> None:
    """Somebody else's commit in between is not our caller's mistake."""
    assert type(translate(of_status(status), ASKED)) is TransientError


def test_a_gated_base_says_how_to_get_in() -> None:
    """Without a token the remedy is HF_TOKEN and the licence's page; with one, the page."""
    gated = hub_errors.GatedRepoError("closed", response=answer(401))
    anonymous = translate(gated, ASKED)
    assert "HF_TOKEN" in anonymous.remedy
    assert "https://hub.example/a/b" in anonymous.remedy
    known = translate(
        gated, Asked("read a/b", "a/b", signed_in=True, url="https://hub.example/a/b")
    )
    assert "HF_TOKEN" not in known.remedy
    assert "https://hub.example/a/b" in known.remedy


def test_a_full_disk_is_this_machines_fault() -> None:
    """ENOSPC while a download is written is a ResourceError, not the Hub's failure."""
    with pytest.raises(ResourceError, match="disk is full"), translated(ASKED):
        raise OSError(28, "No space left on device")


@pytest.mark.parametrize(
    ("status", "kind"), [(400, TransientError), (403, TargetError), (503, HubUnavailable)]
)
def test_a_large_file_is_told_by_what_ended_it(status: int, kind: type[RoundhouseError]) -> None:
    """Damaged on the way (400) is sent again; a refusal stays one; both inside RuntimeError."""
    asked = Asked("commit to a/b", "a/b", TargetError, signed_in=True)
    response = httpx2.Response(status, request=httpx2.Request("PUT", "https://hub.example/lfs"))

    def send() -> None:
        try:
            hf_raise_for_status(response)
        except hub_errors.HfHubHTTPError as error:
            raise RuntimeError("Error while uploading 'x' to the Hub.") from error

    with pytest.raises(kind) as told, translated(asked):
        send()
    assert type(told.value) is kind


def test_other_errors_pass() -> None:
    """A bug of ours is not dressed up as an error of the Hub."""
    with pytest.raises(ZeroDivisionError), translated(ASKED):
        1 / 0  # noqa: B018
