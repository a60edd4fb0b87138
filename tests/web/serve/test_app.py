import asyncio
import io
import json
import socket
import threading
import time
import zlib

import httpx
import numpy as np
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from PIL import Image
from reference import tiny
from reference.served import HERE, LIMITS, TOKEN, ask, guarded, send_raw, serving
from reference.uploads import png_bomb, tiff_bomb
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tinyunet.web.serve.metrics import Counted
from tinyunet.web.serve.results import answer

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
ENDPOINTS = ["GET /api/model", "GET /healthz", "GET /metrics", "POST /api/predict"]


def encoded(array, kind="PNG") -> bytes:
    file = io.BytesIO()
    np.save(file, array) if kind == "npy" else Image.fromarray(array).save(file, kind)
    return file.getvalue()


@pytest.fixture(scope="module")
def picture():
    return encoded(tiny.picture(3)[0])


@pytest.fixture(scope="module")
def app(semantic):
    return guarded(semantic)[1]


def test_a_body_and_a_form_give_the_same_labels(app, semantic, picture):
    expected = answer(semantic, picture, "labels", limits=LIMITS).content
    body = ask(app, "POST", "/api/predict", content=picture)
    form = ask(app, "POST", "/api/predict?result=labels", files={"image": ("../../etc/passwd\0.png", picture)})
    assert body.content == form.content == expected
    assert body.headers["content-type"] == "image/png"
    assert body.headers["content-disposition"] == 'attachment; filename="labels.png"'
    assert "x-tinyunet-notes" not in body.headers


def test_what_deserves_a_look_is_in_a_header(app):
    found = ask(app, "POST", "/api/predict", content=encoded(np.full((5, 4), 9, np.uint8)))
    assert found.headers["x-tinyunet-notes"] == "The upload has one value everywhere; its labels mean nothing."


def test_the_network_and_its_health_can_be_asked_for(app, semantic):
    assert ask(app, "GET", "/api/model").json()["limits"]["max_bytes"] == LIMITS.max_bytes
    assert ask(app, "GET", "/healthz", token=None).json() == {"status": "ok"}
    assert ask(app, "GET", "/api/model", token=None).status_code == 401


def test_the_page_its_files_and_the_description_are_served(app):
    page = ask(app, "GET", "/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert ask(app, "GET", "/app.js").headers["content-type"] == "text/javascript; charset=utf-8"
    assert "POST /api/predict" in ask(app, "GET", "/api").text
    assert ask(app, "GET", "/app.py").json() == {"detail": "There is nothing at this address."}


def test_answers_are_counted_without_the_paths_that_come_from_outside(semantic, picture):
    inner, guard = guarded(semantic)
    counted = Counted(guard, inner.state.metrics)
    for path in ("/api/predict", "/api/predict", '/nothing"%0a', "/"):
        ask(counted, "POST" if "predict" in path else "GET", path, content=picture)
    text = ask(counted, "GET", "/metrics").text
    assert 'tinyunet_requests_total{path="/api/predict",status="200"} 2' in text
    assert 'tinyunet_requests_total{path="other",status="404"} 1' in text
    assert "tinyunet_prediction_seconds_count 2" in text
    assert f"tinyunet_predicted_pixels_total {2 * tiny.SIDE**2}" in text


def test_the_interface_describes_itself(app):
    api = ask(app, "GET", "/api/openapi.json").json()
    assert [f"{m.upper()} {path}" for path in sorted(api["paths"]) for m in api["paths"][path]] == sorted(
        ENDPOINTS, key=lambda line: line.split()[1]
    )
    assert api["paths"]["/api/predict"]["post"]["security"] == [{"HTTPBearer": []}]
    json.dumps(api)


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["valid", "invalid"])
def test_requests_made_up_from_the_description_are_answered_as_it_says(semantic, endpoint, mode):
    app = guarded(semantic)[1]  # of its own, since it is started and stopped for every request
    schema = schemathesis.openapi.from_asgi("/api/openapi.json", app, headers={"authorization": f"Bearer {TOKEN}"})
    operation = next(one.ok() for one in schema.get_all_operations() if one.ok().label == endpoint)

    @given(operation.as_strategy(generation_mode=mode))
    @settings(max_examples=12 if "POST" in endpoint else 3, suppress_health_check=list(HealthCheck))
    def one(case):
        case.call_and_validate(headers={"authorization": f"Bearer {TOKEN}"}, checks=CHECKS)

    one()


@pytest.mark.parametrize(
    ("method", "path", "options", "status"),
    [
        ("POST", "/api/predict", {"headers": {"host": "evil.example"}}, 400),
        ("POST", "/api/predict", {"headers": {"origin": "http://evil.example"}}, 403),
        ("POST", "/api/predict", {"token": "wrong"}, 401),
        ("POST", "/api/predict", {"token": None}, 401),
        ("POST", "/api/predict", {}, 400),
        ("POST", "/api/predict", {"headers": {"content-length": "99999999999"}}, 413),
        ("POST", "/api/predict", {"content": b"x" * 2**20}, 413),
        ("POST", "/api/predict", {"content": b"garbage"}, 415),
        ("POST", "/api/predict", {"content": b"\0" * 100}, 415),
        ("POST", "/api/predict", {"headers": {"content-type": "multipart/form-data"}, "content": b"x"}, 400),
        (
            "POST",
            "/api/predict",
            {"headers": {"content-type": "multipart/form-data; boundary=b"}, "content": b"--b\r\nx\r\n--c"},
            400,
        ),
        ("POST", "/api/predict", {"files": {"picture": ("a.png", b"x")}}, 400),
        ("POST", "/api/predict", {"files": [("image", ("a.png", b"x")), ("image", ("b.png", b"x"))]}, 400),
        ("POST", "/api/predict", {"data": {"image": "a.png"}, "files": {"x": b""}}, 400),
        ("POST", "/api/predict", {"files": {"image": ("a.png", b"")}}, 400),
        ("POST", "/api/predict?result=everything", {"content": b"x"}, 422),
        ("POST", "/api/predict?tta=perhaps", {"content": b"x"}, 422),
        ("POST", "/api/predict?result=objects", {"content": b"x"}, 422),
        ("GET", "/api/predict", {}, 405),
        ("DELETE", "/", {}, 405),
        ("GET", "/%00", {}, 404),
        ("GET", "/..%2f..%2fetc/passwd", {}, 404),
        ("GET", "/app.js/", {}, 404),
    ],
)
def test_a_request_that_makes_no_sense_is_one_line(app, method, path, options, status):
    found = ask(app, method, path, **options)
    assert found.status_code == status, found.text
    assert list(found.json()) == ["detail"]
    assert "\n" not in found.json()["detail"]


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (png_bomb(30_000), 413),
        (tiff_bomb(zlib.compress(bytes(2**24)), 8), 413),
        (encoded(tiny.picture(1)[0])[:200], 422),
        (encoded(np.zeros((4, 4, 3), np.uint8) + np.arange(3, dtype=np.uint8)), 422),
        (encoded(np.array([{}], object), "npy"), 422),
        (encoded(np.full((3, 3), np.inf), "npy"), 422),
        (encoded(np.zeros((2, 3, 4, 5, 6), np.uint8), "npy"), 422),
    ],
    ids=["png bomb", "tiff bomb", "cut off", "colours", "pickle", "infinite", "axes"],
)
def test_an_image_that_is_none_is_one_line(app, content, status):
    found = ask(app, "POST", "/api/predict", content=content)
    assert found.status_code == status, found.text
    assert list(found.json()) == ["detail"]
    assert "/tmp" not in found.text


def test_a_body_in_chunks_is_bounded(app):
    async def chunks():
        for _ in range(20):
            yield b"x" * 2**16

    assert ask(app, "POST", "/api/predict", content=chunks()).status_code == 413


def test_a_full_queue_answers_at_once_and_goes_on(semantic, picture, monkeypatch):
    def slowly(*arguments, **options):
        time.sleep(0.3)
        return answer(*arguments, **options)

    monkeypatch.setattr("tinyunet.web.serve.app.answer", slowly)
    _, guard = guarded(semantic, most_waiting=1)

    async def together():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(guard), base_url=HERE, timeout=60) as client:
            headers = {"authorization": f"Bearer {TOKEN}"}
            asked = [client.post("/api/predict", content=picture, headers=headers) for _ in range(5)]
            return await asyncio.gather(*asked)

    answers = asyncio.run(together())
    assert sorted(found.status_code for found in answers) == [200, 200, 503, 503, 503]
    assert all(int(found.headers["retry-after"]) >= 1 for found in answers if found.status_code == 503)
    assert ask(guard, "POST", "/api/predict", content=picture).status_code == 200


def test_what_takes_too_long_is_said(semantic, picture, monkeypatch):
    monkeypatch.setattr("tinyunet.web.serve.app.answer", lambda *arguments, **options: time.sleep(0.3))
    _, guard = guarded(semantic, seconds=0.05)
    found = ask(guard, "POST", "/api/predict", content=picture)
    assert (found.status_code, found.json()["detail"][:36]) == (503, "The prediction took more than 0.05 s")


def test_a_client_that_leaves_is_not_computed_for(semantic, picture, monkeypatch):
    left, asked = threading.Event(), threading.Event()

    def endless(*arguments, progress, **options):
        asked.set()
        try:
            while True:
                time.sleep(0.01)
                progress(1, 2)
        except Exception:
            left.set()
            raise

    monkeypatch.setattr("tinyunet.web.serve.app.answer", endless)
    with serving(semantic) as url:
        port = int(url.split(":")[2].split("/")[0])
        head = f"POST /api/predict HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n"
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(f"{head}Content-Length: {len(picture)}\r\n\r\n".encode() + picture)
            assert asked.wait(10)
        assert left.wait(10)


def test_a_client_that_leaves_while_it_sends_is_no_fault_of_ours(semantic, capfd):
    with serving(semantic) as url:
        port = int(url.split(":")[2].split("/")[0])
        for kind in ("application/octet-stream", "multipart/form-data; boundary=b"):
            head = f"POST /api/predict HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n"
            with socket.create_connection(("127.0.0.1", port)) as connection:
                connection.sendall(f"{head}Content-Type: {kind}\r\nContent-Length: 500\r\n\r\n--b\r\n".encode())
                time.sleep(0.1)
        assert httpx.get(f"http://127.0.0.1:{port}/healthz").status_code == 200
    assert capfd.readouterr().err == ""


def test_requests_that_are_not_http_leave_a_server_well(semantic, picture):
    host = f"Host: 127.0.0.1\r\nAuthorization: Bearer {TOKEN}\r\n"
    with serving(semantic) as url:
        port = int(url.split(":")[2].split("/")[0])
        for content in (
            b"\x16\x03\x01\x02\0\1\0",  # the beginning of TLS
            b"GET / HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
            b"GET /\0 HTTP/1.1\r\nHost: localhost\r\n\r\n",
            b"POST /api/predict HTTP/1.1\r\n" + host.encode() + b"Content-Length: -5\r\n\r\n",
            b"POST /api/predict HTTP/1.1\r\n" + host.encode() + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nx",
            b"POST /api/predict HTTP/1.1\r\n" + host.encode() + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
            b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 20_000 + b"\r\n",
        ):
            assert send_raw(port, content)[:12] in (b"HTTP/1.1 400", b"HTTP/1.1 401", b"HTTP/1.1 403", b""), content[
                :60
            ]
        headers = {"authorization": f"Bearer {TOKEN}"}
        found = httpx.post(f"http://127.0.0.1:{port}/api/predict", content=picture, headers=headers, timeout=60)
        assert (found.status_code, found.content) == (200, answer(semantic, picture, "labels", limits=LIMITS).content)
