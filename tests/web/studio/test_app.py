"""The interface: what a page asks, and what nobody should."""

import asyncio
import errno
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

import numpy as np
import pytest
from PIL import Image
from reference.painted import SIDE, Client, add_pictures, dots, open_studio
from reference.tiny import picture

from tinyunet.web.studio.app import _events, create_app
from tinyunet.web.studio.strokes import labels_png

WHOLE = f"x=0&y=0&width={SIDE}&height={SIDE}"


def encoded(array):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    return buffer.getvalue()


def decoded(response):
    assert response.status_code == 200, response.text
    return np.asarray(Image.open(io.BytesIO(response.content)))


@pytest.fixture
def studio(tmp_path):
    opened = open_studio(tmp_path / "cells")
    yield opened
    opened.close()


@pytest.fixture
def client(studio):
    """Requests without a training, since the application is not started."""
    return Client(create_app(studio))


def upload(client, *files):
    answer = client.post("/api/images", files=[("files", (name, content, "image/png")) for name, content in files])
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_images_are_dropped_in_and_shown(client):
    image, _ = picture(0, side=SIDE)
    answer = upload(client, ("my cells.png", encoded(image)), ("../evil.png", b"GIF89a"))
    assert [one["name"] for one in answer["refused"]] == ["../evil.png"]
    assert "is no PNG, JPEG" in answer["refused"][0]["detail"]
    (identity,) = answer["added"]
    assert client.get("/api/state").json()["images"][0]["name"] == "my cells.png"
    assert np.array_equal(decoded(client.get(f"/api/images/{identity}/pixels.png"))[..., 0], image)
    assert decoded(client.get(f"/api/images/{identity}/thumbnail.png")).shape == (SIDE, SIDE, 3)
    labels = client.get(f"/api/images/{identity}/labels.png")
    assert (decoded(labels) == 255).all()
    assert labels.headers["X-Revision"] == "0"
    assert client.get(f"/api/images/{identity}/prediction.png").status_code == 404


def test_paint_goes_there_and_back(client):
    image, mask = picture(0, side=SIDE)
    (identity,) = upload(client, ("a.png", encoded(image)))["added"]
    strokes = f"/api/images/{identity}/strokes?"
    body = labels_png(dots(mask, 1))
    assert client.post(strokes + WHOLE, content=body, headers={"X-Stroke-Id": "one"}).json() == {"revision": 1}
    assert client.post(strokes + WHOLE, content=body, headers={"X-Stroke-Id": "one"}).json() == {"revision": 1}
    corner = labels_png(np.array([[0, 254]], np.uint8))
    assert client.post(f"{strokes}x=3&y=2&width=2&height=1", content=corner).json() == {"revision": 2}
    labels = client.get(f"/api/images/{identity}/labels.png")
    assert labels.headers["X-Revision"] == "2"
    expected = np.where(dots(mask, 1) == 1, 1, 255)
    expected[2, 3] = 0
    assert np.array_equal(decoded(labels), expected)


def test_a_full_disk_is_507_in_one_line(client, monkeypatch):
    (identity,) = upload(client, ("a.png", encoded(picture(0, side=SIDE)[0])))["added"]

    def full(file):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    body = labels_png(np.zeros((1, 1), np.uint8))
    answer = client.post(f"/api/images/{identity}/strokes?x=0&y=0&width=1&height=1", content=body)
    monkeypatch.undo()
    assert answer.status_code == 507
    assert re.fullmatch(r".*journal cannot be written: No space left on device\. .*", answer.json()["detail"])
    assert client.get(f"/api/images/{identity}/labels.png").headers["X-Revision"] == "0"


def test_images_go_and_come_back_and_classes_change(client):
    (identity,) = upload(client, ("a.png", encoded(picture(0, side=SIDE)[0])))["added"]
    assert client.delete(f"/api/images/{identity}").status_code == 200
    assert client.get("/api/state").json()["images"] == []
    assert client.delete(f"/api/images/{identity}").status_code == 404
    assert client.post(f"/api/images/{identity}/restore").status_code == 200
    assert client.post(f"/api/images/{identity}/restore").status_code == 404
    assert client.post("/api/classes", json={"name": "rim", "color": "#00ff00"}).json() == {"id": 2}
    assert client.patch("/api/classes/2", json={"name": "edge"}).status_code == 200
    assert client.get("/api/state").json()["classes"][2] == {"id": 2, "name": "edge", "color": "#00ff00"}


def test_the_page_and_health(client):
    assert "<title>tinyunet studio</title>" in client.get("/").text
    assert client.get("/page/main.js").headers["content-type"].startswith("text/javascript")
    assert client.get("/page/../app.py").status_code == 404
    assert client.get("/healthz").json() == {"status": "ok"}


def test_nothing_learnt_yet_is_said(client):
    for answer in (
        client.post("/api/export", json={"format": "onnx"}),
        client.get("/api/labels.zip"),
        client.get("/report"),
    ):
        assert answer.status_code == 422
        assert answer.json()["detail"].startswith("Nothing has been learnt yet: paint a few strokes")


def test_requests_that_make_no_sense_get_a_4xx_and_one_line(client):
    (identity,) = upload(client, ("a.png", encoded(picture(0, side=SIDE)[0])))["added"]
    one = labels_png(np.zeros((1, 1), np.uint8))
    strokes = f"/api/images/{identity}/strokes?"
    wrong = [
        ("POST", "/api/images", {"content": b"not a form"}),
        ("POST", "/api/images", {"data": {"files": "text"}}),
        ("POST", strokes, {"content": one}),
        ("POST", strokes + "x=a&y=0&width=1&height=1", {"content": one}),
        ("POST", strokes + "x=0&y=0&width=1&height=1", {"content": b""}),
        ("POST", strokes + "x=0&y=0&width=1&height=1", {"content": b"\x89PNG\r\n\x1a\n" + bytes(99)}),
        ("POST", strokes + f"x={SIDE}&y=0&width=1&height=1", {"content": one}),
        ("POST", strokes + "x=0&y=0&width=1&height=1", {"content": one, "headers": {"X-Stroke-Id": "a" * 65}}),
        ("POST", "/api/images/..%2f..%2fetc/strokes?x=0&y=0&width=1&height=1", {"content": one}),
        ("GET", "/api/images/%00/pixels.png", {}),
        ("GET", f"/api/images/{'a' * 5000}/labels.png", {}),
        ("POST", "/api/classes", {"json": {"name": "a"}}),
        ("POST", "/api/classes", {"json": {"name": ["a"], "color": "#000000"}}),
        ("POST", "/api/classes", {"json": {"name": "object", "color": "#000000"}}),
        ("POST", "/api/classes", {"content": b"{"}),
        ("PATCH", "/api/classes/9", {"json": {}}),
        ("PATCH", "/api/classes/-1", {"json": {}}),
        ("POST", "/api/focus", {"json": {"image": "nobody"}}),
        ("POST", "/api/training", {"json": {"run": "yes"}}),
        ("POST", "/api/training", {"json": {"run": True, "more": 1}}),
        ("POST", "/api/export", {"json": {"format": "../exe"}}),
        ("PUT", "/api/state", {}),
        ("GET", "/api/nothing", {}),
    ]
    for method, path, options in wrong:
        answer = client.request(method, path, **options)
        assert 400 <= answer.status_code < 500, (method, path, answer.status_code, answer.text)
        assert "\n" not in answer.json()["detail"]
    assert client.get("/api/state").json()["images"][0]["labelRevision"] == 0


def test_events_tell_the_state_at_once(studio):
    async def first():
        async for text in _events(studio):
            return text

    add_pictures(studio, 1)
    event, data, *_ = asyncio.run(first()).split("\n")
    assert event == "event: state"
    assert json.loads(data.removeprefix("data: "))["images"][0]["name"] == "picture 0.png"


def test_a_process_that_is_killed_between_strokes_has_lost_nothing(tmp_path):
    """A real studio, a real SIGKILL: what was answered is there when the folder is opened again."""
    command = [sys.executable, "-m", "tinyunet", "studio", str(tmp_path / "cells"), "--port", "0", "--features", "2"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        assert process.stdout is not None
        url = next(line.strip() for line in process.stdout if "token=" in line)
        base, _, token = url.partition("/?token=")

        def ask(method, path, body=None, kind="image/png"):
            headers = {"Authorization": f"Bearer {token}", "Content-Type": kind}
            request = urllib.request.Request(base + path, body, headers, method=method)
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.loads(answer.read() or b"null")

        form = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'
        form += encoded(picture(0, side=SIDE)[0]) + b"\r\n--b--\r\n"
        (identity,) = ask("POST", "/api/images", form, "multipart/form-data; boundary=b")["added"]
        expected = np.full((SIDE, SIDE), 255, np.uint8)
        for row in range(20):
            stroke = np.array([[row % 2] * (1 + row)], np.uint8)
            path = f"/api/images/{identity}/strokes?x=3&y={row}&width={1 + row}&height=1"
            assert ask("POST", path, labels_png(stroke)) == {"revision": row + 1}
            expected[row, 3 : 4 + row] = row % 2
            if row == 10:
                time.sleep(0.8)  # so that some masks have been written and others have not
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(f"{base}/api/state", timeout=60)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    again = open_studio(tmp_path / "cells")
    entry = again.folder.entries[0]
    assert np.array_equal(again.canvas(entry).labels, expected)
    assert again.canvas(entry).revision == 20
    again.close()
