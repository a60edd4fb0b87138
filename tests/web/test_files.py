import asyncio
import re
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

import tinyunet.web
from tinyunet.web.files import page_files, serve_page

PAGES = sorted(path.parent for path in Path(tinyunet.web.__file__).parent.rglob("index.html"))


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "index.html").write_text("<!doctype html>")
    (tmp_path / "part").mkdir()
    (tmp_path / "part" / "index.html").write_text("part")
    (tmp_path / "part" / "a.js").write_text("export const a = 1;")
    (tmp_path / "secret.py").write_text("secret")
    return tmp_path


def test_files_are_listed_once_and_by_the_paths_that_are_asked_for(folder):
    files = page_files(folder)
    assert set(files) == {"/", "/index.html", "/part/", "/part/index.html", "/part/a.js"}
    assert files["/part/a.js"].content_type == "text/javascript; charset=utf-8"


@pytest.mark.parametrize(
    ("path", "status"),
    [("/", 200), ("/part/a.js", 200), ("/secret.py", 404), ("/part/../secret.py", 404), ("/%2e%2e/secret.py", 404)],
)
def test_nothing_else_is_served(folder, path, status):
    app = FastAPI(openapi_url=None)
    serve_page(app, folder)

    async def once():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
            return await client.get(path)

    assert asyncio.run(once()).status_code == status


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.parent.name)
def test_pages_load_nothing_from_elsewhere_and_hold_no_script(page):
    files = page_files(page)
    for name, file in files.items():
        text = file.content.decode()
        assert not re.search(r"https?://(?!www\.w3\.org/)", text), name
        if name.endswith(".html"):
            assert not re.search(r"<script(?![^>]*src=)|\son\w+=|\sstyle=|<style", text), name
            for link in re.findall(r"""(?:src|href)=["']([^"'#?]+)""", text):
                # the studio's page is served below /page/
                assert f"/{link.removeprefix('page/').lstrip('/')}" in files or link == "/api", link
        for module in re.findall(r"""from ["']\./([^"']+)""", text):
            assert f"/{module}" in files, module
