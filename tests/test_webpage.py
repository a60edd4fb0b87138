"""The static page in a real browser: its masks are those of the run, on every pixel."""

import contextlib
import functools
import http.server
import io
import os
import re
import shutil
import struct
import threading
import zlib

import numpy as np
import pytest
from PIL import Image
from reference.untrained import CLASSES, untrained_run

from tinyunet.data.labelling import ClassInfo, Labelling
from tinyunet.data.normalise import ChannelRule, Normalisation
from tinyunet.data.readers import read_image
from tinyunet.data.writers import write_png
from tinyunet.export.webruntime import CDN, FILES, find_runtime
from tinyunet.models.presets import ModelConfig
from tinyunet.objects.decode import decode_core
from tinyunet.objects.target import ObjectConfig
from tinyunet.runs.export import export_run

GREY, RGB = (ChannelRule(drop_alpha=False, collapse_grey=False, used=used) for used in (1, 3))
OBJECTS = Labelling("instances", (CLASSES[0], ClassInfo("cell", 1, "#e69f00")))


@pytest.fixture(scope="session")
def onnxruntime_web(tmp_path_factory):
    """A folder with the files of onnxruntime-web, as npm gives them."""
    runtime = find_runtime()
    if not runtime.contents:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(runtime.note)
    folder = tmp_path_factory.mktemp("onnxruntime-web")
    for name, content in runtime.contents.items():
        (folder / name).write_bytes(content)
    return folder


@contextlib.contextmanager
def serve(folder):
    """The address of a plain server of files, as `python -m http.server` is one."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder)) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module", autouse=True)
def small_images():
    """The comparison that every export ends with needs no large ones here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tinyunet.runs.parity.SIZES", {2: ((9, 13), (7, 5))})
        yield


@contextlib.contextmanager
def exported(run, folder, source):
    """The address of a run's page."""
    export_run(run, folder, format="web", onnxruntime_web=source, quiet=True)
    with serve(folder) as address:
        yield address


@pytest.fixture(scope="module")
def plain(tmp_path_factory, onnxruntime_web):
    """A run of grey images, the folder of its page, and the page's address."""
    folder = tmp_path_factory.mktemp("plain")
    run = untrained_run(folder / "run", seed=1)
    with exported(run, folder / "Cells", onnxruntime_web) as address:
        yield run, folder / "Cells", address


def wait(page, start):
    """Waits until the page says something that begins so, or an error, and returns it."""
    page.locator(f"#status:text-matches('^{start}'), #status.error").wait_for()
    return page.locator("#status").text_content()


def choose(page, path, start="Done"):
    page.locator("#file").set_input_files(path)
    return wait(page, start)


def download(page):
    """The mask that the page offers."""
    with page.expect_download() as waiting:
        page.get_by_text("Download the mask").click()
    return Image.open(io.BytesIO(waiting.value.path().read_bytes())), waiting.value.suggested_filename


def picture(shape, seed=0):
    """Something with structure, so that networks of random weights answer differently in its parts."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 200, (-(-shape[0] // 8), -(-shape[1] // 8), *shape[2:]))
    return (blocks.repeat(8, 0).repeat(8, 1)[: shape[0], : shape[1]] + rng.integers(0, 56, shape)).astype(np.uint8)


# What is computed

VALID = ModelConfig(features=2, depth=2, padding="valid", convs_per_block=2)
MODELS = {
    "grey": {"seed": 1},
    "RGB": {
        "seed": 2,
        "channels": RGB,
        "normalisation": Normalisation("dataset", (110.0, 120.5, 128.0), (60.0, 70.25, 65.0)),
        "labelling": Labelling("semantic", (*CLASSES, ClassInfo("other", 7, "#56b4e9"))),
    },
    "valid": {"seed": 4, "model": VALID},
    "objects": {"seed": 0, "labelling": OBJECTS},
}


@pytest.mark.parametrize("kind", MODELS)
def test_masks_equal_those_of_the_run_on_every_pixel(kind, onnxruntime_web, page, tmp_path, monkeypatch, screenshot):
    monkeypatch.setattr("tinyunet.runs.build.TILE_SIZES", (32, 64))
    monkeypatch.setattr("tinyunet.runs.build.LARGE_TILE", 80)
    run = untrained_run(tmp_path / "run", **MODELS[kind])
    with exported(run, tmp_path / "Cells", onnxruntime_web) as address:
        page.goto(address)
        assert wait(page, "Ready") == "Ready: choose an image."
        compare_masks(run, page, tmp_path)
    screenshot(page, "done", full_page=True)


def compare_masks(run, page, tmp_path):
    """Of one pixel, of an odd size in one tile, and of a dozen tiles."""
    depth = run.channels.used
    found = set()
    for number, shape in enumerate(((1, 1), (37, 53), (150, 203))):
        image = picture((*shape, depth), seed=number)
        write_png(tmp_path / f"{number}.png", image)
        said = choose(page, tmp_path / f"{number}.png")
        mask, name = download(page)
        expected = run.labelling.decode(run.predict(image))
        np.testing.assert_array_equal(np.asarray(mask), expected)
        assert np.asarray(mask).dtype == expected.dtype
        assert name == f"{number}-mask.png"
        found |= {*np.unique(expected).tolist()}
        if run.finds_objects:
            assert re.fullmatch(rf"Done in [\d.]+ s: {expected.max()} objects?\.", said)
    assert len(found) >= run.labelling.num_classes


def in_page(page, script, *values):
    """Runs a function of our modules with arrays, and returns the array it gives."""
    return np.array(page.evaluate(script, [np.asarray(value).ravel().tolist() for value in values]))


def test_objects_are_those_of_the_decoder_ties_included(plain, page, browser):
    browser.allow("favicon")
    page.goto(f"{plain[2]}README.txt")
    rng = np.random.default_rng(0)
    config = ObjectConfig(smallest_seed_px=2, smallest_px=3, split_probability=0.7)
    for levels in (4, 9, 1000):
        noise = rng.random((60, 70))
        core = np.round((noise + np.roll(noise, 1, 0) + np.roll(noise, 1, 1)) / 3 * levels) / levels
        core, inside = core.astype(np.float32), rng.random((60, 70)) < 0.85
        found = in_page(
            page,
            """async ([core, inside]) => {
                const { decodeObjects } = await import("./objects.js");
                const rule = { core_probability: 0.5, foreground_probability: 0.5, split_probability: 0.7,
                               smallest_seed_px: 2, smallest_px: 3 };
                const [c, f] = [Float32Array.from(core), Float32Array.from(inside)];
                return [...decodeObjects(c, f, 60, 70, rule).ids];
            }""",
            core,
            inside.astype(float),
        )
        np.testing.assert_array_equal(found.reshape(60, 70), decode_core(core, inside, config))


# What is read


def interlaced(image, depth):
    """A PNG whose pixels come in seven passes, of grey values of some bits, with every kind of filter."""
    height, width = image.shape
    rows = b""
    for y, x, down, right in (
        (0, 0, 8, 8),
        (0, 4, 8, 8),
        (4, 0, 8, 4),
        (0, 2, 4, 4),
        (2, 0, 4, 2),
        (0, 1, 2, 2),
        (1, 0, 2, 1),
    ):
        part = image[y::down, x::right]
        if not part.size:
            continue
        bits = np.unpackbits(part.astype(">u2").view(np.uint8).reshape(*part.shape, 2), axis=-1)[..., 16 - depth :]
        lines = np.packbits(bits.reshape(len(part), -1), axis=-1)
        step, before = max(1, depth // 8), np.zeros(lines.shape[1], int)
        for number, line in enumerate(lines.astype(int)):
            left = np.concatenate([np.zeros(step, int), line])[: len(line)]
            corner = np.concatenate([np.zeros(step, int), before])[: len(line)]
            far = [np.abs(before - corner), np.abs(left - corner), np.abs(left + before - 2 * corner)]
            paeth = np.choose(np.argmin(far, axis=0), [left, before, corner])
            guess = [0, left, before, (left + before) // 2, paeth][number % 5]
            rows += bytes([number % 5]) + ((line - guess) % 256).astype(np.uint8).tobytes()
            before = line
    parts = [(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, 0, 0, 0, 1)), (b"IDAT", zlib.compress(rows))]
    chunks = [
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in parts
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks) + b"\0\0\0\0IEND\xaeB`\x82"


def files(folder):
    """One file of every kind that is read without loss."""
    grey, colour = picture((19, 27)), picture((19, 27, 4))
    colour[::3, :, 3] = 255
    Image.fromarray(grey > 100).save(folder / "1.png")
    Image.fromarray(grey).save(folder / "L.png")
    Image.fromarray(colour[..., :2].copy(), "LA").save(folder / "LA.png")
    Image.fromarray(colour[..., :3].copy()).save(folder / "RGB.png")
    Image.fromarray(colour).save(folder / "RGBA.png")
    Image.fromarray(colour[..., :3].copy()).quantize(13).save(folder / "P4.png")
    Image.fromarray(colour[..., :3].copy()).quantize(100).save(folder / "P.png")
    Image.fromarray(grey.astype(np.uint16) * 257 - 3).save(folder / "16.png")
    Image.fromarray(colour[..., :3].copy()).save(folder / "a.bmp")
    for depth in (1, 2, 4, 8, 16):
        values = grey.astype(np.uint16) * 255 if depth == 16 else grey >> (8 - depth)
        (folder / f"interlaced {depth}.png").write_bytes(interlaced(values, depth))
    return sorted(folder.iterdir())


def test_pixels_are_those_that_python_reads(plain, page, browser, tmp_path):
    browser.allow("favicon")
    page.goto(f"{plain[2]}README.txt")
    (tmp_path / "files").mkdir()
    for path in files(tmp_path / "files"):
        expected = read_image(path)
        found = page.evaluate(
            """async (bytes) => {
                const { decode } = await import("./decode.js");
                const { height, width, channels, values } = await decode(new Blob([Uint8Array.from(bytes)]), 1e6);
                return [[height, width, channels], [...values]];
            }""",
            [*path.read_bytes()],
        )
        assert found[0] == list(expected.shape), path.name
        np.testing.assert_array_equal(np.array(found[1]).reshape(expected.shape), expected, err_msg=path.name)


# What a visitor sees


def test_what_cannot_be_segmented_is_said_and_the_next_image_is_taken(plain, page, tmp_path, screenshot):
    page.goto(plain[2])
    wait(page, "Ready")
    write_png(tmp_path / "good.png", picture((20, 30)))
    write_png(tmp_path / "colour.png", picture((20, 30, 3)))
    good = (tmp_path / "good.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(good[:200])
    (tmp_path / "bomb.png").write_bytes(good[:16] + struct.pack(">II", 30_000, 30_000) + good[24:])
    (tmp_path / "text.jpg").write_bytes(b"no image")
    (tmp_path / "empty.png").touch()
    Image.fromarray(picture((20, 30))).save(tmp_path / "scan.tif")
    for name, text in {
        "colour.png": "The image has 3 channels and the model wants 1: convert it to grey.",
        "cut.png": "The file is damaged or cut off: copy or export it again.",
        "bomb.png": "The image has 30000 × 30000 pixels, 900 million, and this page takes 100 million: "
        "cut it into smaller ones.",
        "text.jpg": "The file is no image that this browser can read: save it as PNG.",
        "empty.png": "The file is empty (0 bytes): copy or export it again.",
        "scan.tif": "Browsers do not read TIFF: save the image as PNG, which holds 8 and 16 bits without loss.",
    }.items():
        page.locator("#file").set_input_files(tmp_path / name)
        page.locator("#status.error", has_text=name).wait_for()
        assert page.locator("#status").text_content() == f"{name}: {text}"
    screenshot(page, "refused", full_page=True)
    assert choose(page, tmp_path / "good.png").startswith("Done in ")


def test_the_page_works_by_keyboard_and_by_dropping_in_the_dark_on_a_phone(plain, browser, tmp_path, screenshot):
    page = browser.open(plain[2], width=390, height=780, color_scheme="dark")
    wait(page, "Ready")
    write_png(tmp_path / "a.png", picture((60, 90)))
    page.bring_to_front()
    page.keyboard.press("Tab")
    page.locator("#choose:focus").wait_for()
    page.on("filechooser", lambda chooser: chooser.set_files(tmp_path / "a.png"))
    page.wait_for_timeout(500)  # Playwright does not say when it has begun to listen
    page.keyboard.press("Enter")
    wait(page, "Done")
    page.locator("#opacity").focus()
    page.keyboard.press("End")
    assert page.locator("#percent").text_content() == "100 %"
    assert page.evaluate("document.querySelector('#overlay').style.opacity") == "1"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "download"
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    shares = [float(text.split()[0]) for text in page.locator("#legend td").all_text_contents()]
    assert sum(shares) == pytest.approx(100, abs=0.15)
    screenshot(page, "phone", full_page=True)
    page.evaluate(
        """(bytes) => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([Uint8Array.from(bytes)], "dropped.png"));
            document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: transfer, bubbles: true }));
        }""",
        [*(tmp_path / "a.png").read_bytes()],
    )
    page.locator("#caption", has_text="dropped.png, 90 × 60 pixels").wait_for()
    wait(page, "Done")


def test_several_threads_compute_once_the_page_is_isolated_and_it_reaches_its_own_host_alone(plain, browser, tmp_path):
    page = browser.open(plain[2])
    wait(page, "Ready")
    threads = min(page.evaluate("navigator.hardwareConcurrency"), 8)
    said = page.locator("#engine").text_content()
    assert page.evaluate("crossOriginIsolated")
    assert said == f"Computes with WebAssembly, {threads} thread{'s' * (threads > 1)}."
    browser.allow("Content Security Policy|ERR_BLOCKED_BY_CSP|csp")
    with serve(tmp_path) as elsewhere:
        reached = "(url) => fetch(url, { mode: 'no-cors' }).then(() => 'reached', () => 'refused')"
        assert page.evaluate(reached, elsewhere) == "refused"
        assert page.evaluate(reached, page.url) == "reached"
        assert page.workers[0].evaluate(reached, elsewhere) == "refused"
    page.goto(f"{plain[2]}?threads=1")
    wait(page, "Ready")
    assert page.locator("#engine").text_content() == "Computes with WebAssembly, 1 thread."


def test_files_of_the_public_host_are_checked(plain, page, browser, onnxruntime_web, tmp_path):
    run, changed = plain[0], set()

    def answer(route):
        name = route.request.url.removeprefix(CDN)
        body = (onnxruntime_web / name).read_bytes() + b" " * (name in changed)
        kind = "application/wasm" if name.endswith(".wasm") else "text/javascript"
        headers = {"Access-Control-Allow-Origin": "*", "Cross-Origin-Resource-Policy": "cross-origin"}
        route.fulfill(body=body, content_type=kind, headers=headers)

    page.context.route(f"{CDN}*", answer)
    image = picture((20, 30))
    write_png(tmp_path / "a.png", image)
    with exported(run, tmp_path / "Cells", "cdn") as address:
        page.goto(address)
        wait(page, "Ready")
        choose(page, tmp_path / "a.png")
        np.testing.assert_array_equal(np.asarray(download(page)[0]), run.labelling.decode(run.predict(image)))
        changed.add(next(iter(FILES)))
        browser.allow("integrity|ERR_FAILED|Failed to")
        page.goto(address)
        said = wait(page, "Ready")
    assert "ort.wasm.bundle.min.mjs cannot be fetched, or is not the file that it should be." in said


def test_what_is_wrong_with_a_browser_or_a_host_is_said(plain, page, browser, tmp_path):
    folder = tmp_path / "Cells"
    shutil.copytree(plain[1], folder, ignore=shutil.ignore_patterns("onnxruntime"))
    browser.allow("404|integrity|Failed to|ERR_FAILED")
    with serve(folder) as address:
        page.goto(address)
        missing = rf"{address}onnxruntime/ort\S+ cannot be fetched, or is not the file that it should be\."
        assert re.fullmatch(missing, wait(page, "Ready"))
        with (folder / "model.onnx").open("ab") as file:
            file.write(b" ")
        page.reload()
        wrong = f"{address}model.onnx cannot be fetched, or is not the file that it should be."
        assert wait(page, "Ready") == wrong
        (folder / "model.json").unlink()
        page.reload()
        assert wait(page, "Ready") == "model.json cannot be fetched: 404 File not found."
        with (folder / "worker.js").open("a") as file:
            file.write("delete self.WebAssembly;")
        page.reload()
        assert wait(page, "Ready") == "This browser has no WebAssembly: take a newer one."


def test_a_page_opened_as_a_file_says_how_to_serve_it(plain, browser):
    browser.allow("CORS|ERR_FAILED|origin")
    page = browser.open((plain[1] / "index.html").as_uri())
    page.locator(".late").wait_for()
    assert "python -m http.server" in page.locator(".late").inner_text()
