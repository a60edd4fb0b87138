"""The studio's page in a real browser, before a stand-in for its server: paint, look, correct, and lose nothing."""

import contextlib
import io
import itertools
import json
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import numpy as np
import pytest
from PIL import Image

import tinyunet
from tinyunet.web.guard import POLICY

PAGE = Path(tinyunet.__file__).parent / "web" / "studio" / "page"
KINDS = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".html": "text/html; charset=utf-8"}
HEIGHT, WIDTH = 60, 90
UNPAINTED, UNCHANGED = 255, 254
BLUE, ORANGE = "#3b6fb6", "#e0752d"


def png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return file.getvalue()


def pixels_of(file):
    return np.array(Image.open(io.BytesIO(file)))


class StandIn:
    """Answers as the studio's server does, out of memory. It can go away and come back.

    Attributes:
        labels: What is painted, for each image.
        predictions: What is predicted, for each image that has been.
    """

    def __init__(self, *names):
        self.labels = {}
        self.images = {}
        self.revisions = {}
        self.predictions = {}
        self.version = 0
        self.classes = [{"name": "background", "color": BLUE}, {"name": "object", "color": ORANGE}]
        self.seen = set()
        self.full = False
        self.port = 0
        for name in names:
            self.add(name, np.full((HEIGHT, WIDTH, 3), 200, np.uint8))

    def add(self, name, image):
        identity = f"id{len(self.images)}"
        self.images[identity] = name, image
        self.labels[identity] = np.full(image.shape[:2], UNPAINTED, np.uint8)
        self.revisions[identity] = 0
        return identity

    def state(self):
        images = [
            {
                "id": identity,
                "name": name,
                "width": image.shape[1],
                "height": image.shape[0],
                "painted": float((self.labels[identity] != UNPAINTED).mean()),
                "labelRevision": self.revisions[identity],
                "predictionVersion": self.version if identity in self.predictions else None,
                "predictionNumber": self.version if identity in self.predictions else None,
                "doubt": None,
            }
            for identity, (name, image) in self.images.items()
        ]
        state = "training" if self.version else "waiting"
        training = {"state": state, "detail": "As told.", "step": self.version, "seconds": 1.0, "loss": None}
        return {
            "folder": "cells",
            "revision": sum(self.revisions.values()),
            "classes": [{"id": k, **one} for k, one in enumerate(self.classes)],
            "images": images,
            "suggestion": None,
            "training": {**training, "version": self.version, "agreement": None},
        }

    def answer(self, method, path, body, headers):
        """Status, body and more headers."""
        parts = urlsplit(path)
        if parts.path == "/" or parts.path.startswith("/page/"):
            file = PAGE / (parts.path.removeprefix("/page/") if parts.path != "/" else "index.html")
            return 200, file.read_bytes(), {"Content-Type": KINDS[file.suffix]}
        if (method, parts.path) == ("POST", "/api/images"):
            files = re.findall(rb'filename="(.*?)".*?\r\n\r\n(.*?)\r\n--', body, re.DOTALL)
            added = [self.add(name.decode(), pixels_of(file)) for name, file in files]
            return 200, {"added": added, "refused": []}, {}
        if found := re.fullmatch(r"/api/images/(\w+)/(\w+)(?:\.png)?", parts.path):
            return self.answer_image(*found.groups(), dict(parse_qsl(parts.query)), body, headers)
        if (method, parts.path) == ("POST", "/api/classes"):
            self.classes.append(json.loads(body))
            return 200, {}, {}
        return 200, self.state() if parts.path == "/api/state" else {}, {}

    def answer_image(self, identity, what, query, body, headers):
        labels = self.labels[identity]
        if what == "strokes":
            if self.full:
                return 507, {"detail": "The disk is full."}, {}
            if headers["X-Stroke-Id"] not in self.seen:
                self.seen.add(headers["X-Stroke-Id"])
                x, y, width, height = (int(query[name]) for name in ("x", "y", "width", "height"))
                stroke = pixels_of(body)
                assert stroke.shape == (height, width)
                part = labels[y : y + height, x : x + width]
                np.copyto(part, stroke, where=stroke != UNCHANGED)
                self.revisions[identity] += 1
            return 200, {"revision": self.revisions[identity]}, {}
        if what == "labels":
            return 200, png(labels), {"X-Revision": self.revisions[identity]}
        if what == "prediction":
            return 200, png(self.predictions[identity]), {"X-Version": self.version}
        return 200, png(self.images[identity][1]), {}

    def go(self):
        """Starts to answer, at the same address as before."""
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *arguments):
                pass

            def do_GET(self):
                if self.path == "/api/events":
                    return self.stream()
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                status, content, headers = stand_in.answer(self.command, self.path, body, self.headers)
                if not isinstance(content, bytes):
                    headers, content = {"Content-Type": "application/json"}, json.dumps(content).encode()
                self.send_response(status)
                everywhere = {"Content-Length": len(content), "Content-Security-Policy": POLICY}
                for name, value in {**everywhere, **headers}.items():
                    self.send_header(name, str(value))
                self.end_headers()
                self.wfile.write(content)

            do_POST = do_GET

            def stream(self):
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.send_header("Connection", "close")
                self.end_headers()
                told = None
                while not stand_in.gone.wait(0.05):
                    now = json.dumps(stand_in.state())
                    if now != told:
                        self.wfile.write(f"event: state\ndata: {now}\n\n".encode())
                    told = now

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request, client_address):
                pass  # a browser that hangs up

        self.gone = threading.Event()
        self.server = Server(("127.0.0.1", self.port), Handler)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return f"http://127.0.0.1:{self.port}/"

    def go_away(self):
        self.gone.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def stand_in():
    """A function that makes a stand-in of images with these names."""
    with contextlib.ExitStack() as stack:

        def make(*names):
            made = StandIn(*names)
            made.go()
            stack.callback(made.go_away)
            made.address = f"http://127.0.0.1:{made.port}/"
            return made

        yield make


def opened(page, server):
    """The page, with its first image shown."""
    page.goto(server.address)
    page.locator("#canvas[aria-busy=false]").wait_for()
    return page


def saved(page):
    """Waits until everything painted is with the server."""
    page.locator("#saved[data-state=saved]").wait_for()


def place(page, x, y):
    """Where a point of the image, shown as a whole, lies in the window."""
    box = page.locator("#canvas").bounding_box()
    scale = min((box["width"] - 32) / WIDTH, (box["height"] - 32) / HEIGHT, 8)
    return (
        box["x"] + box["width"] / 2 + (x - WIDTH / 2) * scale,
        box["y"] + box["height"] / 2 + (y - HEIGHT / 2) * scale,
    )


def draw(page, *points):
    """Paints along these points of the image."""
    page.mouse.move(*place(page, *points[0]))
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*place(page, *point), steps=3)
    page.mouse.up()


def colour_at(page, x, y):
    """What the page shows at a point of the image."""
    page.mouse.move(2, 2)
    time.sleep(0.1)  # until the next frame
    left, top = place(page, x, y)
    shot = page.screenshot(clip={"x": round(left), "y": round(top), "width": 1, "height": 1})
    return pixels_of(shot)[0, 0, :3].astype(int)


def near_line(points, radius, shape=(HEIGHT, WIDTH)):
    """The pixels whose centres lie so near to a line through these points: the naive brush."""
    y, x = np.mgrid[: shape[0], : shape[1]] + 0.5
    inside = np.zeros(shape, bool)
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        along = ((x - x0) * (x1 - x0) + (y - y0) * (y1 - y0)) / max(1e-12, (x1 - x0) ** 2 + (y1 - y0) ** 2)
        along = np.clip(along, 0, 1)
        inside |= np.hypot(x - x0 - along * (x1 - x0), y - y0 - along * (y1 - y0)) <= radius
    return inside


def test_strokes_reach_the_server_as_they_are_painted_and_can_be_undone(browser, stand_in):
    server = stand_in("one.png")
    page = opened(browser.open(width=1000, height=600), server)
    way = [(20.5, 20.5), (60.5, 20.5), (60.5, 45.5)]
    page.keyboard.press("2")
    for _ in range(3):
        page.keyboard.press("]")
    assert page.locator("#size-value").text_content() == "6 px"
    draw(page, *way)
    saved(page)
    painted = server.labels["id0"].copy()
    assert set(np.unique(painted)) == {1, UNPAINTED}
    # The pointer stands on whole pixels of the screen, so that only the outermost pixels may differ.
    assert near_line(way, 2.8)[painted == UNPAINTED].sum() == 0
    assert near_line(way, 3.2)[painted == 1].all()

    page.keyboard.press("e")
    draw(page, (40.5, 20.5), (41.5, 20.5))
    saved(page)
    erased = server.labels["id0"].copy()
    assert (erased[20, 39:43] == UNPAINTED).all()
    for key, expected in [("z", painted), ("z", painted * 0 + UNPAINTED), ("Shift+Z", painted), ("Shift+Z", erased)]:
        page.keyboard.press(f"Control+{key}")
        saved(page)
        np.testing.assert_array_equal(server.labels["id0"], expected)


def test_polygon_and_fill_and_the_names_of_all_controls(browser, stand_in):
    server = stand_in("one.png")
    page = opened(browser.open(width=1000, height=600), server)
    page.get_by_role("button", name="Polygon").click()
    for corner in [(20, 10), (70, 10), (70, 50), (20, 50)]:
        page.mouse.click(*place(page, *corner))
    page.keyboard.press("Enter")
    saved(page)
    labels = server.labels["id0"]
    assert (labels[11:49, 21:69] == 0).all()
    assert (labels == 0).sum() <= 42 * 52

    page.keyboard.press("2")
    page.keyboard.press("f")
    page.mouse.click(*place(page, 5, 5))
    saved(page)
    assert set(np.unique(labels)) == {0, 1}
    assert page.get_by_text("% of the image").is_visible()

    for role in ("button", "slider", "checkbox", "radio"):
        for control in page.get_by_role(role).all():
            assert re.fullmatch(rf'- {role} ".+"(?s:.*)', control.aria_snapshot()), control.evaluate("e => e.outerHTML")
    page.keyboard.press("?")
    assert page.get_by_role("dialog", name="How this works").is_visible()


def test_nothing_is_lost_when_the_server_dies_while_the_page_is_painted_and_left(browser, stand_in):
    browser.allow("ERR_CONNECTION_REFUSED|ERR_INCOMPLETE_CHUNKED|ERR_EMPTY_RESPONSE|ERR_CONNECTION_RESET|507")
    server = stand_in("one.png")
    page = opened(browser.open(width=1000, height=600), server)
    server.go_away()
    page.locator("#saved[data-state=stuck]").wait_for()
    draw(page, (20, 20), (50, 20))
    page.get_by_text("Not saved: 1 stroke, kept in this browser. The server is away.").first.wait_for()
    assert (server.labels["id0"] == UNPAINTED).all()
    server.go()
    saved(page)
    assert (server.labels["id0"][20, 25:45] == 0).all()

    server.full = True
    draw(page, (20, 30), (50, 30))
    page.get_by_text("Not saved: 1 stroke, kept in this browser. The disk is full.").first.wait_for()
    page.goto("about:blank")
    server.full = False
    opened(page, server)
    saved(page)
    assert (server.labels["id0"][30, 25:45] == 0).all()


def test_two_tabs_see_each_others_paint(browser, stand_in):
    server = stand_in("one.png")
    one = opened(browser.open(width=1000, height=600), server)
    other = opened(one.context.new_page(), server)
    other.keyboard.press("2")
    draw(other, (20, 40), (50, 40))
    draw(one, (20, 20), (50, 20))
    for page in (one, other):
        saved(page)
        page.bring_to_front()
        for y, colour in [(20, (59, 111, 182)), (40, (224, 117, 45))]:
            expected = 0.85 * np.array(colour) + 0.15 * 200
            for _ in range(50):
                if np.abs(colour_at(page, 30, y) - expected).max() <= 3:
                    break
            np.testing.assert_allclose(colour_at(page, 30, y), expected, atol=3)


def test_a_prediction_appears_below_the_paint_and_gives_way_to_a_newer_one(browser, stand_in, screenshot):
    server = stand_in("one.png", "two.png")
    page = opened(browser.open(width=1000, height=600), server)
    draw(page, (20, 20), (50, 20))
    saved(page)
    blue, orange, grey = np.array((59, 111, 182)), np.array((224, 117, 45)), 200
    for version, colour in [(1, orange), (2, blue)]:
        server.predictions["id0"] = np.full((HEIGHT, WIDTH), 2 - version, np.uint8)
        server.version = version
        expected = 0.45 * colour + 0.55 * grey
        for _ in range(50):
            if np.abs(colour_at(page, 70, 50) - expected).max() <= 3:
                break
        np.testing.assert_allclose(colour_at(page, 70, 50), expected, atol=3)
        np.testing.assert_allclose(colour_at(page, 30, 20), 0.85 * blue + 0.15 * expected, atol=3)
    screenshot(page, "prediction")
    page.keyboard.press("q")
    np.testing.assert_allclose(colour_at(page, 70, 50), grey, atol=3)
    page.keyboard.press("h")
    np.testing.assert_allclose(colour_at(page, 30, 20), grey, atol=3)


def test_an_empty_folder_asks_for_images_and_the_hints_lead_on(browser, stand_in, screenshot):
    server = stand_in()
    page = browser.open(server.address, color_scheme="dark")
    page.get_by_role("heading", name="Drop some images here").wait_for()
    screenshot(page, "empty")
    files = [
        {"name": f"{name}.png", "mimeType": "image/png", "buffer": png(np.zeros((60, 90, 3), np.uint8))}
        for name in "ab"
    ]
    page.locator("#files").set_input_files(files)
    hint = page.locator("#hint p")
    hint.get_by_text("Paint a little of each class").wait_for()
    assert page.locator(".images .name").all_text_contents() == ["a.png", "b.png"]
    draw(page, (20, 20), (50, 20))
    hint.get_by_text("Now a stroke of “object”").wait_for()
    page.keyboard.press("ArrowRight")
    page.locator(".images li:nth-child(2) [aria-current=true]").wait_for()

    page.get_by_role("button", name="Add a class").click()
    page.keyboard.type("two words")
    page.keyboard.press("Enter")
    page.locator(".classes .name", has_text="two words").wait_for()
    assert [one["name"] for one in server.classes] == ["background", "object", "two words"]
    page.keyboard.press("3")
    assert page.locator(".classes input:checked").get_attribute("value") == "2"


def test_fingers_paint_and_pinch_on_a_small_screen(browser, stand_in, screenshot):
    server = stand_in("one.png")
    page = opened(browser.open(width=390, height=760, has_touch=True, is_mobile=True), server)
    touches = page.context.new_cdp_session(page)

    def touch(kind, *points):
        places = [dict(zip("xy", place(page, *point), strict=True), id=k) for k, point in enumerate(points)]
        touches.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": places})

    touch("touchStart", (20, 20))
    for x in range(25, 60, 5):
        touch("touchMove", (x, 20))
    touch("touchEnd")
    saved(page)
    assert (server.labels["id0"][20, 25:45] == 0).all()

    before, zoom = server.labels["id0"].copy(), page.locator("#zoom-value").text_content()
    touch("touchStart", (40, 40))
    touch("touchStart", (40, 40), (50, 40))
    for step in range(1, 6):
        touch("touchMove", (40 - 2 * step, 40), (50 + 2 * step, 40))
    touch("touchEnd")
    assert page.locator("#zoom-value").text_content() != zoom
    saved(page)
    np.testing.assert_array_equal(server.labels["id0"], before)
    page.locator("#images-toggle").tap()
    page.get_by_role("heading", name="Images").wait_for()
    screenshot(page, "phone")

    page.locator("#zoom-fit").tap()
    touch("touchStart", (20, 50))
    touch("touchMove", (50, 50))
    touch("touchEnd")
    saved(page)
    assert (server.labels["id0"][50, 25:45] == 0).all()
    assert (server.labels["id0"][35:45] == UNPAINTED).all()
