"""The modules of the studio's page, run in a real browser and compared with NumPy, SciPy and Pillow."""

import functools
import http.server
import io
import threading
from pathlib import Path

import numpy as np
import pytest
from browser import started
from PIL import Image
from scipy import ndimage

import tinyunet

PAGE = Path(tinyunet.__file__).parent / "web" / "studio" / "page"
HEIGHT, WIDTH = 60, 90
UNPAINTED, UNCHANGED = 255, 254


def png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return file.getvalue()


def pixels_of(file):
    return np.array(Image.open(io.BytesIO(file)))


def near_line(a, b, radius):
    """The pixels whose centres lie so near to the line from a to b: the naive brush."""
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    (x0, y0), (x1, y1) = a, b
    along = ((x - x0) * (x1 - x0) + (y - y0) * (y1 - y0)) / max(1e-12, (x1 - x0) ** 2 + (y1 - y0) ** 2)
    along = np.clip(along, 0, 1)
    return np.hypot(x - x0 - along * (x1 - x0), y - y0 - along * (y1 - y0)) <= radius


@pytest.fixture(scope="module")
def modules():
    """A function that runs JavaScript with some of the page's modules, given by name, and its arguments as JSON."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=PAGE))
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    with started() as browser:
        browser.allow("favicon")
        page = browser.open(f"http://127.0.0.1:{server.server_port}/icon.svg")

        def run(names, body, **arguments):
            loading = "".join(f"const {name} = await import('/{name}.js');" for name in names)
            given = ", ".join(arguments)
            return page.evaluate(f"async ({{{given}}}) => {{ {loading} {body} }}", arguments)

        yield run
        assert not browser.problems
    server.shutdown()
    server.server_close()


def mask_of(modules, call, **arguments):
    """The pixels that a shape emits, with those outside of the image cut off; none may come twice."""
    body = f"const spans = []; {call}((y, left, right) => spans.push([y, left, right])); return spans;"
    mask = np.zeros((HEIGHT, WIDTH), int)
    for y, left, right in modules(["shapes"], body, **arguments):
        if 0 <= y < HEIGHT:
            mask[y, max(0, left) : max(0, right)] += 1
    assert mask.max() <= 1
    return mask.astype(bool)


def test_a_png_of_the_page_holds_the_same_values(modules):
    values = np.random.default_rng(0).integers(0, 256, (7, 13), np.uint8)
    body = "return [...await png.encodeGray({width: 13, height: 7, values: new Uint8Array(values)})]"
    file = modules(["png"], body, values=values.ravel().tolist())
    np.testing.assert_array_equal(pixels_of(bytes(file)), values)


@pytest.mark.parametrize("kind", ["noise", "ramp", "flat"])
def test_the_page_reads_every_filter_of_a_png(modules, kind):
    y, x = np.mgrid[:40, :33]
    noise = np.random.default_rng(0).integers(0, 256, (40, 33))
    values = {"noise": noise + x * 5, "ramp": x * y // 3 + noise % 3, "flat": x * 0 + 7}[kind].astype(np.uint8)
    body = """
      const {width, height, values} = await png.decodeGray(new Uint8Array(file));
      return [width, height, [...values]];
    """
    width, height, read = modules(["png"], body, file=list(png(values)))
    np.testing.assert_array_equal(np.reshape(read, (height, width)), values)


@pytest.mark.parametrize(
    ("file", "words"),
    [
        (b"GIF89a" + bytes(40), "not a PNG"),
        (png(np.zeros((4, 4, 3), np.uint8)), "must be 8-bit gray, got 8 bits of colour type 2"),
        (png(np.zeros((4, 4), np.uint16)), "must be 8-bit gray, got 16 bits"),
    ],
)
def test_what_is_no_label_image_is_refused_in_words(modules, file, words):
    body = "return png.decodeGray(new Uint8Array(file)).then(() => '', (error) => error.message)"
    assert words in modules(["png"], body, file=list(file))


@pytest.mark.parametrize(
    ("a", "b", "radius"),
    [((20.3, 20.7), (60.1, 33.2), 6.5), ((20.3, 40.0), (20.3, 10.5), 3.0), ((45.5, 30.5), (45.5, 30.5), 4.2),
     ((-5.0, 3.0), (99.0, 70.0), 10.0), ((10.5, 10.5), (40.5, 22.5), 0.5)],
)  # fmt: skip
def test_a_brush_covers_what_is_near_its_way(modules, a, b, radius):
    points = {name: {"x": x, "y": y} for name, (x, y) in {"a": a, "b": b}.items()}
    painted = mask_of(modules, "((emit) => shapes.capsule(a, b, radius, emit))", **points, radius=radius)
    np.testing.assert_array_equal(painted, near_line(a, b, radius))


def test_a_brush_of_one_pixel_paints_one_pixel_wherever_it_is_put(modules):
    for x, y in [(10.01, 20.99), (10.5, 20.5), (10.99, 20.01)]:
        call = "((emit) => { const c = shapes.brushCentre(p, 1); shapes.capsule(c, c, 0.5, emit); })"
        assert np.argwhere(mask_of(modules, call, p={"x": x, "y": y})).tolist() == [[20, 10]]


def test_a_polygon_holds_the_centres_that_it_winds_around(modules):
    corners = [(10.2, 5.1), (70.7, 12.3), (30.4, 55.2), (5.5, 20.8), (60.2, 40.9)]
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    winding = np.zeros((HEIGHT, WIDTH), int)
    for (x0, y0), (x1, y1) in zip(corners, corners[1:] + corners[:1], strict=True):
        side = (x1 - x0) * (y - y0) - (x - x0) * (y1 - y0)
        winding += ((y0 <= y) & (y1 > y) & (side > 0)).astype(int) - ((y1 <= y) & (y0 > y) & (side < 0))
    points = [{"x": px, "y": py} for px, py in corners]
    filled = mask_of(modules, "((emit) => shapes.polygon(points, 60, emit))", points=points)
    np.testing.assert_array_equal(filled, winding != 0)


@pytest.mark.parametrize("tolerance", [None, 40])
def test_a_fill_takes_what_is_connected_by_edges(modules, tolerance):
    rng = np.random.default_rng(3)
    labels = np.where(rng.random((40, 50)) < 0.35, 1, UNPAINTED).astype(np.uint8)
    brightness = ndimage.gaussian_filter(rng.random((40, 50)) * 900 - 322, 2).clip(0, 255).astype(np.uint8)
    labels[20, 25] = UNPAINTED
    inside = labels == UNPAINTED
    if tolerance is not None:
        inside &= np.abs(brightness.astype(int) - brightness[20, 25]) <= tolerance
    regions, _ = ndimage.label(inside)
    body = """
      const image = {width: 50, height: 40, data: new Uint8Array(labels)};
      const limit = tolerance === null ? null : {brightness: new Uint8Array(brightness), tolerance};
      shapes.flood(image, {x: 25, y: 20}, limit, (y, left, right) => image.data.fill(9, y * 50 + left, y * 50 + right));
      return [...image.data];
    """
    lists = {"labels": labels.ravel().tolist(), "brightness": brightness.ravel().tolist(), "tolerance": tolerance}
    filled = np.reshape(modules(["shapes"], body, **lists), (40, 50)) == 9
    assert 10 < filled.sum() < inside.sum()
    np.testing.assert_array_equal(filled, regions == regions[20, 25])


def test_undoing_takes_back_what_nobody_painted_over(modules):
    body = """
      const sheet = new labels.Labels(300, 200);
      const first = new labels.Recording(sheet);
      for (let y = 100; y < 160; y++) first.span(y, 90, 200, 1);
      const patch = first.finish();
      sheet.data[110 * 300 + 100] = 2;
      const stroke = sheet.turn(patch, "undo");
      sheet.apply(stroke);
      const [left, values] = [sheet.data, stroke.values].map((pixels) => [...new Set(pixels)]);
      return [patch.rect, left, sheet.data[110 * 300 + 100], values, sheet.counts[255]];
    """
    rect, left, other, values, unpainted = modules(["labels"], body)
    assert rect == {"x": 90, "y": 100, "width": 110, "height": 60}
    assert (sorted(left), other, sorted(values)) == ([2, UNPAINTED], 2, [UNCHANGED, UNPAINTED])
    assert unpainted == 300 * 200 - 1
