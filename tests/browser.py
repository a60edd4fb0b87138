"""Pages in a real browser, for tests: the fixtures `browser`, `page` and `screenshot`.

The browser is the machine's own Chromium, driven by Playwright; nothing is downloaded. It is started anew for every
test, so that tests share no state, and so that Playwright's event loop, which runs as long as Playwright does, is in
nobody else's way. Whatever a page complains about fails its test: see `Browser.allow`.
"""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "chrome")
"""What Chromium is called on one system or another."""

FLAGS = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

PATIENCE_MS = 60_000
"""How long an action or an expectation waits: the machine may be busy with other tests."""


class Browser:
    """Opens pages, and remembers what they complain about: errors on the console, exceptions, failed requests.

    Attributes:
        chromium: Playwright's browser, for what this class does not wrap.
        problems: What was complained about and is not allowed, one line each.
    """

    def __init__(self, chromium: Any):
        self.chromium = chromium
        self.problems: list[str] = []
        self._allowed: list[str] = []

    def open(self, url: str | None = None, *, width: int = 1280, height: int = 800, **options: Any) -> Any:
        """A page in a profile of its own, already at `url` if one is given.

        Args:
            url: Where the page goes.
            width: Of the window, in CSS pixels.
            height: Of the window.
            options: Of Playwright's `new_context`, such as `color_scheme="dark"` or `has_touch=True`.
        """
        profile = self.chromium.new_context(viewport={"width": width, "height": height}, **options)
        profile.set_default_timeout(PATIENCE_MS)
        profile.on("page", self._watch)
        page = profile.new_page()
        if url is not None:
            page.goto(url)
        return page

    def allow(self, pattern: str) -> None:
        """Lets pages complain, from now on and in this test, about what a regular expression finds.

        For tests of what goes wrong. A status of 400 and above is a line on the console, which holds its address.
        """
        self._allowed.append(pattern)

    def _watch(self, page: Any) -> None:
        page.on("console", self._console)
        page.on("pageerror", lambda error: self._complain(f"exception: {error}"))
        page.on("requestfailed", self._failed)

    def _console(self, message: Any) -> None:
        if message.type in ("error", "assert"):
            self._complain(f"console: {message.text} ({message.location.get('url', '')})")

    def _failed(self, request: Any) -> None:
        if request.failure != "net::ERR_ABORTED":  # which is what a page left, or a request given up, looks like
            self._complain(f"request: {request.failure} {request.method} {request.url}")

    def _complain(self, line: str) -> None:
        if not any(re.search(pattern, line) for pattern in self._allowed):
            self.problems.append(line)


def _missing(why: str) -> NoReturn:
    """Skips the test, but fails it where everything is to be tested."""
    if os.environ.get("CI"):
        pytest.fail(f"{why}, and with CI set a test is not skipped for that", pytrace=False)
    pytest.skip(why)


@contextmanager
def started() -> Iterator[Browser]:
    """A fresh Chromium; the test that asks is skipped, or with CI set fails, where there is none."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        _missing("needs Playwright: pip install playwright")
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        _missing(f"needs Chromium: none of {', '.join(NAMES)} is on the PATH")
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=program,
            args=[*FLAGS],
            chromium_sandbox=not root,  # which Chromium refuses to root
            timeout=PATIENCE_MS,
        )
        yield Browser(chromium)
        chromium.close()


@pytest.fixture
def browser() -> Iterator[Browser]:
    """A fresh Chromium. The test fails afterwards if a page complained about anything."""
    with started() as opened:
        yield opened
    if opened.problems:
        pytest.fail("The page complained:\n" + "\n".join(opened.problems), pytrace=False)


@pytest.fixture
def page(browser: Browser) -> Any:
    """An empty page of 1280 × 800 in a fresh Chromium: Playwright's own `Page`."""
    return browser.open()


@pytest.fixture
def screenshot(request: pytest.FixtureRequest) -> Callable[..., None]:
    """A function of a page and a name, which keeps a picture of it as `TEST-NAME.png` in the folder `--screenshots`.

    Without that option it does nothing.
    """
    folder: Path | None = request.config.getoption("--screenshots")
    test = re.sub(r"\W+", "-", request.node.name).strip("-")

    def keep(page: Any, name: str, *, full_page: bool = False) -> None:
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            page.screenshot(path=folder / f"{test}-{name}.png", full_page=full_page)

    return keep
