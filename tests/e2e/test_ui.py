"""A release from the form of Prefect's UI, in a browser."""

import os
import re
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.e2e.browser import page
from tests.e2e.house import BASE, ROOT, Demo, House, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.heavy, pytest.mark.browser]
TARGET = "roundhouse/from-the-form"
RUN_SECONDS = 600
DRAWING_MS = 3000
SHOTS = Path(os.environ.get("ROUNDHOUSE_SCREENSHOTS", ROOT / "var" / "screenshots"))


def _open_form(ui: str, at: Page) -> None:
    deployment = httpx.get(f"{ui}/api/deployments/name/release/default").json()
    at.goto(f"{ui}/deployments/deployment/{deployment['id']}/run")
    expect(at.get_by_role("button", name="Submit")).to_be_visible(timeout=60_000)


def _fill(at: Page, base: str, target: str) -> None:
    fields = at.locator("textarea.p-textarea__control")
    fields.nth(0).fill(base)
    fields.nth(1).fill(target)


def _runs(ui: str) -> int:
    count: int = httpx.post(f"{ui}/api/flow_runs/count", json={}).json()
    return count


def _run(ui: str, name: str) -> str | None:
    wanted = {"flow_runs": {"name": {"any_": [name]}}}
    found = httpx.post(f"{ui}/api/flow_runs/filter", json=wanted).json()
    return found[0]["id"] if found else None


def _ended(ui: str, run: str) -> str | None:
    state: str = httpx.get(f"{ui}/api/flow_runs/{run}").json()["state_type"]
    return state if state in {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"} else None


def test_a_wrong_form_makes_no_run(house: House, demo: Demo) -> None:
    """A base that is no repository name is refused by the form: no run comes into being."""
    before = _runs(house.ui)
    with page() as at:
        _open_form(house.ui, at)
        _fill(at, "not a repository", TARGET)
        at.get_by_role("button", name="Submit").click()
        expect(
            at.get_by_text(re.compile("does not match|invalid|error", re.IGNORECASE)).first
        ).to_be_visible()
    assert _runs(house.ui) == before


def test_a_form_makes_a_release(house: House, demo: Demo) -> None:
    """A run started from the form completes; its page and its artifacts are there to look at."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    with page() as at:
        _open_form(house.ui, at)
        _fill(at, BASE, TARGET)
        at.screenshot(path=SHOTS / "form.png")
        at.get_by_role("button", name="Submit").click()
        run = wait_for("the run", lambda: _run(house.ui, f"{BASE} to {TARGET}"), 120)
        at.goto(f"{house.ui}/runs/flow-run/{run}")
        state = wait_for("the end", lambda: _ended(house.ui, run), RUN_SECONDS)
        assert state == "COMPLETED"
        at.reload()
        expect(at.get_by_text("Completed", exact=True).first).to_be_visible(timeout=30_000)
        at.wait_for_timeout(DRAWING_MS)
        at.screenshot(path=SHOTS / "run.png")
        at.get_by_text("Artifacts", exact=True).first.click()
        expect(at.get_by_text("stages", exact=True).first).to_be_visible()
        at.screenshot(path=SHOTS / "artifacts.png")
        at.get_by_text("release", exact=True).last.click()
        expect(at.get_by_text("ACCEPT").first).to_be_visible(timeout=30_000)
        at.wait_for_timeout(DRAWING_MS)
        at.screenshot(path=SHOTS / "release.png")
