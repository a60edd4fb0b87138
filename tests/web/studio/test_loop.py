"""The studio as a person uses it: a real server, a real browser, and a network that learns what is painted."""

import io
import os
import signal
import subprocess
import sys
import time

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 96, 64


def image(seed):
    """Dark to the left, bright to the right."""
    rng = np.random.default_rng(seed)
    pixels = rng.normal(70, 12, (HEIGHT, WIDTH))
    pixels[:, WIDTH // 2 :] += 90
    buffer = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def serve(folder, port=0):
    """A studio in a process of its own, and its address."""
    command = [sys.executable, "-m", "tinyunet", "studio", str(folder), "--port", str(port), "--features", "4"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    return process, next(line.strip() for line in process.stdout if "token=" in line)


def place(page, x, y):
    """Where a point of the image, shown as a whole, lies in the window."""
    box = page.locator("#canvas").bounding_box()
    scale = min((box["width"] - 32) / WIDTH, (box["height"] - 32) / HEIGHT, 8)
    return (
        box["x"] + box["width"] / 2 + (x - WIDTH / 2) * scale,
        box["y"] + box["height"] / 2 + (y - HEIGHT / 2) * scale,
    )


def draw(page, key, *points):
    """Paints a class along these points of the image, and waits until the server has it."""
    page.keyboard.press(key)
    page.mouse.move(*place(page, *points[0]))
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*place(page, *point), steps=4)
    page.mouse.up()
    page.locator("#saved[data-state=saved]").wait_for()


def state(page):
    return page.evaluate("async () => (await fetch('api/state')).json()")


def labels(page, identity, what="prediction"):
    """One of the pictures of an image; None while there is none."""
    answer = page.evaluate(
        """async (path) => {
            const answer = await fetch(path);
            return answer.ok ? [...new Uint8Array(await answer.arrayBuffer())] : null;
        }""",
        f"api/images/{identity}/{what}.png",
    )
    return None if answer is None else np.asarray(Image.open(io.BytesIO(bytes(answer))))


def until(page, ready, *, seconds=120):
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end, state(page)["training"]
        time.sleep(0.2)


def test_drop_paint_learn_correct_kill_reload_and_export(browser, tmp_path, screenshot):
    browser.allow(r"ERR_CONNECTION_REFUSED|ERR_INCOMPLETE_CHUNKED|ERR_EMPTY_RESPONSE|ERR_CONNECTION_RESET|404|401")
    process, address = serve(tmp_path / "cells")
    try:
        page = browser.open(address)
        files = [{"name": f"{k}.png", "mimeType": "image/png", "buffer": image(k)} for k in range(2)]
        page.locator("#files").set_input_files(files)
        page.locator("#canvas[aria-busy=false]").wait_for()
        first, second = (one["id"] for one in state(page)["images"])
        draw(page, "1", (10, 12), (10, 52))
        draw(page, "2", (80, 12), (80, 52))

        def right(identity):
            found = labels(page, identity)
            return found is not None and (found[:, :44] == 0).mean() > 0.9 and (found[:, 52:] == 1).mean() > 0.9

        until(page, lambda: right(first) and right(second))
        screenshot(page, "learnt")

        # A correction, which no grey value explains: the network has to learn where the image ends.
        draw(page, "1", (90, 4), (90, 60))
        until(page, lambda: (labels(page, first)[10:54, 89:92] == 0).mean() > 0.8)
        screenshot(page, "corrected")

        painted = labels(page, first, "labels")
        process.send_signal(signal.SIGKILL)
        process.communicate()
        process, address = serve(tmp_path / "cells", port=int(address.split(":")[2].split("/")[0]))
        page.goto(address)
        page.locator("#canvas[aria-busy=false]").wait_for()
        np.testing.assert_array_equal(labels(page, first, "labels"), painted)
        until(page, lambda: labels(page, first) is not None)
        page.locator("#results").click()
        with page.expect_download() as download:
            page.get_by_role("button", name="safetensors").click()
        assert download.value.suggested_filename.endswith(".safetensors")
    finally:
        process.terminate()
        process.communicate()
