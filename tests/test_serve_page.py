"""The page of `tinyunet serve` in a real browser, on a real server."""

import io
import zipfile

import numpy as np
import pytest
from PIL import Image
from reference import tiny
from reference.served import LIMITS, serving

from tinyunet.web.serve.results import answer

DROP = """(async ([name, bytes]) => {
  const file = new File([new Uint8Array(bytes)], name);
  const data = new DataTransfer();
  data.items.add(file);
  document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
})"""


def expect(*arguments):
    from playwright.sync_api import expect

    return expect(*arguments)


@pytest.fixture(scope="module")
def classes(semantic):
    with serving(semantic) as url:
        yield url


@pytest.fixture(scope="module")
def numbered(objects):
    with serving(objects) as url:
        yield url


@pytest.fixture
def images(tmp_path):
    for number in range(3):
        tiny.save(tmp_path / f"cells {number}.png", tiny.picture(number)[0])
    return sorted(tmp_path.glob("*.png"))


def choose(page, *paths):
    page.set_input_files("#files", paths)
    expect(page.locator("#status")).to_contain_text(" segmented")


def download(page, name):
    with page.expect_download() as waiting:
        page.get_by_text(name, exact=True).click()
    found = waiting.value
    return found.suggested_filename, found.path().read_bytes()


def pixels(page, selector):
    """The pixels of a picture of the page, as the browser has decoded them."""
    draw = """async (image) => {
      await image.decode();
      const canvas = new OffscreenCanvas(image.naturalWidth, image.naturalHeight);
      const context = canvas.getContext("2d");
      context.drawImage(image, 0, 0);
      return [canvas.height, canvas.width, [...context.getImageData(0, 0, canvas.width, canvas.height).data]];
    }"""
    height, width, values = page.locator(selector).evaluate(draw)
    return np.array(values, np.uint8).reshape(height, width, 4)


def test_images_are_segmented_shown_and_kept(classes, semantic, browser, images, screenshot):
    page = browser.open(classes)
    assert "token" not in page.url
    expect(page.locator("#about")).to_have_text(
        "Tells apart background and foreground in grey images; computed by XLA."
    )
    choose(page, *images)
    expect(page.locator("#status")).to_have_text("3 of 3 images segmented.")
    expected = answer(semantic, images[0].read_bytes(), "labels", limits=LIMITS).content
    labels = np.asarray(Image.open(io.BytesIO(expected)))
    np.testing.assert_array_equal(pixels(page, "#tint")[..., 3] > 0, labels == 255)
    share = f"{100 * (labels == 255).mean():.1f} %"
    expect(page.locator("#legend")).to_contain_text(f"foreground {share}")
    expect(page.locator("#tint")).to_have_attribute(
        "alt", f"background {100 * (labels == 0).mean():.1f} %, " + f"foreground {share}"
    )
    screenshot(page, "classes", full_page=True)
    assert download(page, "Labels") == ("cells 0_labels.png", expected)
    name, content = download(page, "Everything, as a zip")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.read("labels.png") == expected
        assert np.load(io.BytesIO(archive.read("probabilities.npy"))).shape == (tiny.SIDE, tiny.SIDE, 2)
    assert name == "cells 0.zip"


def test_probabilities_lie_over_the_image_as_strongly_as_is_wanted(classes, semantic, browser, images, screenshot):
    page = browser.open(classes)
    choose(page, images[0])
    page.get_by_label("Layer").select_option("Probability: foreground")
    content = answer(semantic, images[0].read_bytes(), "probabilities", limits=LIMITS).content
    scores = np.load(io.BytesIO(content))[..., 1]
    assert np.abs(pixels(page, "#tint")[..., 0] - 255 * scores).max() <= 0.51
    page.get_by_label("Opacity").fill("30")
    assert page.locator("#tint").evaluate("image => image.style.opacity") == "0.3"
    expect(page.locator("#opacity-value")).to_have_text("30 %")
    page.get_by_label("Pixel for pixel").check()
    assert page.locator("#stack").bounding_box()["width"] == tiny.SIDE
    screenshot(page, "probability")


def test_objects_are_in_a_table_that_shows_where_they_are(numbered, objects, browser, images, screenshot):
    page = browser.open(numbered)
    choose(page, images[0])
    table = answer(objects, images[0].read_bytes(), "objects", limits=LIMITS).content
    rows = [line.split(",") for line in table.decode().splitlines()[1:]]
    assert rows
    expect(page.locator("#objects-title")).to_have_text(f"{len(rows)} object{'s' * (len(rows) != 1)}")
    expect(page.locator("#table tbody tr")).to_have_count(len(rows))
    page.get_by_label("Show object 1 in the image").click()
    mark, stack = page.locator("#mark").bounding_box(), page.locator("#stack").bounding_box()
    first_y, _, first_x, last_x = map(int, rows[0][2:6])
    scale = stack["height"] / tiny.SIDE
    assert abs(mark["y"] - stack["y"] - scale * first_y) < 2
    assert abs(mark["width"] - scale * (last_x - first_x + 1)) < 2
    screenshot(page, "objects", full_page=True)
    page.get_by_label("Show object 1 in the image").click()
    expect(page.locator("#mark")).to_be_hidden()
    assert download(page, "Table of objects") == ("cells 0_objects.csv", table)


def test_what_cannot_be_segmented_is_said_in_words(classes, browser, images, tmp_path, screenshot):
    browser.allow("status of 4")
    (tmp_path / "notes.png").write_text("no picture")
    (tmp_path / "large.png").write_bytes(bytes(2**19))
    tiny.save(tmp_path / "colours.png", np.random.default_rng(0).integers(0, 255, (9, 9, 3), np.uint8))
    page = browser.open(classes)
    choose(page, tmp_path / "notes.png", images[0], tmp_path / "large.png", tmp_path / "colours.png")
    said = "1 of 4 images segmented; 3 could not be, for a reason that stands beside each."
    expect(page.locator("#status")).to_have_text(said)
    for name, words in (
        ("notes.png", "The upload is no PNG, JPEG, BMP, TIFF or NumPy file, whatever its name says."),
        ("large.png", "It has 0.5 MiB; at most 0.3 are taken."),
        ("colours.png", "convert it to grey."),
    ):
        page.locator("#images button", has_text=name).click()
        expect(page.locator("#failure")).to_contain_text(words)
    screenshot(page, "refused", full_page=True)
    page.get_by_text("Clear").click()
    expect(page.locator("#work")).to_be_hidden()


def test_it_works_by_keyboard_and_by_dropping_in_the_dark_on_a_phone(classes, browser, images, screenshot):
    page = browser.open(classes, width=390, height=844, color_scheme="dark", has_touch=True)
    expect(page.locator("#limits")).to_contain_text("megapixels")
    for path in images[:2]:
        page.evaluate(DROP, [path.name, [*path.read_bytes()]])
    expect(page.locator("#status")).to_have_text("2 of 2 images segmented.")
    page.locator("body").press("k")
    expect(page.locator("#image-title")).to_have_text("cells 0.png")
    page.keyboard.press("j")
    expect(page.locator("#image-title")).to_have_text("cells 1.png")
    page.keyboard.press("h")
    expect(page.locator("#tint")).to_be_hidden()
    page.keyboard.press("h")
    expect(page.locator("#tint")).to_be_visible()
    page.get_by_label("Choose images").focus()
    for _ in range(12):
        page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement !== document.body")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(22, 24, 27)"
    screenshot(page, "phone", full_page=True)


def test_a_server_that_was_started_anew_is_said(semantic, browser, images):
    browser.allow("status of 401")
    with serving(semantic) as url:
        page = browser.open(url)
        expect(page.locator("#limits")).to_contain_text("megapixels")
        page.context.clear_cookies()
        page.set_input_files("#files", images[0])
        words = "The server was started anew: open the address that its command printed."
        expect(page.locator("#failure")).to_have_text(words)


def test_the_description_for_programs_is_a_page(classes, browser, screenshot):
    page = browser.open(classes)
    page.get_by_text("For programs").click()
    expect(page.locator("h1")).to_have_text("Interface")
    expect(page.locator("main")).to_contain_text("POST /api/predict")
    screenshot(page, "interface", full_page=True)
