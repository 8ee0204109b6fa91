"""Headless Chromium, as Debian installs it."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Page, ViewportSize, sync_playwright

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@contextmanager
def page(width: int = 1400, height: int = 1100, *, dark: bool = False) -> Iterator[Page]:
    """A blank page; fails with the line to type where there is no Chromium."""
    program = shutil.which("chromium")
    if program is None:
        pytest.fail("there is no chromium; type: sudo apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(FLAGS))
        size: ViewportSize = {"width": width, "height": height}
        yield browser.new_page(viewport=size, color_scheme="dark" if dark else "light")
        browser.close()
