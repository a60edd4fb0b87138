"""The browser of other tests: a page that complains about something fails its test, and nothing is left behind."""

import asyncio

import pytest
from browser import started

COMPLAINTS = """<!doctype html><script>
console.warn("only a warning");
console.error("an error");
fetch("http://127.0.0.1:9/refused").catch(() => {});
setTimeout(() => { throw new Error("thrown"); });
setTimeout(() => { document.title = "done"; }, 500);
</script>"""


def complain(browser):
    page = browser.open()
    page.set_content(COMPLAINTS)
    page.wait_for_function("document.title === 'done'")


def test_a_page_runs_its_scripts_and_can_be_kept(page, screenshot):
    page.set_content("<!doctype html><h1 id=answer></h1><script>answer.textContent = 6 * 7</script>")
    assert page.locator("#answer").text_content() == "42"
    screenshot(page, "answer")


def test_complaints_are_remembered_unless_they_are_allowed(browser):
    complain(browser)
    lines = sorted(browser.problems)
    assert lines[0].startswith("console: Failed to load resource")
    assert lines[1].startswith("console: an error")
    assert lines[2:] == ["exception: thrown", "request: net::ERR_UNSAFE_PORT GET http://127.0.0.1:9/refused"]
    browser.problems.clear()
    for pattern in ("^exception: thrown$", "127.0.0.1:9", "an error"):
        browser.allow(pattern)
    complain(browser)
    assert browser.problems == []


def test_no_event_loop_is_left_behind():
    with started() as browser:
        browser.open("data:text/html,one")
    assert asyncio.run(asyncio.sleep(0, "ran")) == "ran"


@pytest.mark.parametrize(("ci", "outcome"), [("", pytest.skip.Exception), ("true", pytest.fail.Exception)])
def test_without_chromium_a_test_is_skipped_but_not_in_ci(ci, outcome, monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("CI", ci)
    with pytest.raises(outcome, match="needs Chromium: none of chromium, "), started():
        pass
