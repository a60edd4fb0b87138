"""How long does the static page take for an image in a headless Chromium, and is its mask that of the run?"""

import argparse
import contextlib
import functools
import http.server
import io
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.measure import Spread, machine
from benchmarks.present import Cell, Table, add_output_options, present
from tinyunet.data.folder import open_folder
from tinyunet.data.sample import sample_image
from tinyunet.data.writers import write_png
from tinyunet.runs.evaluate import choose_images
from tinyunet.runs.export import export_run
from tinyunet.runs.run import Run, load

PATIENCE_MS = 600_000


class Files(http.server.SimpleHTTPRequestHandler):
    """What `python -m http.server` answers, in silence."""

    def log_message(self, *arguments: Any) -> None:
        """Says nothing."""


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address at which a folder is served."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Files, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@contextlib.contextmanager
def chromium(flags: Sequence[str] = ("--disable-gpu",)) -> Iterator[Any]:
    """The machine's own Chromium, headless."""
    from playwright.sync_api import sync_playwright

    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        raise SystemExit("Chromium is not installed.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program, args=[*flags], chromium_sandbox=os.geteuid() != 0, timeout=PATIENCE_MS
        )
        yield browser
        browser.close()


def wait(page: Any, start: str) -> None:
    """Waits until the page says something that begins so.

    Raises:
        SystemExit: It says that something is wrong.
    """
    page.locator(f"#status:text-matches('^{start}'), #status.error").wait_for(timeout=PATIENCE_MS)
    said = page.locator("#status").text_content()
    if not said.startswith(start):
        raise SystemExit(said)


def segment(page: Any, path: Path) -> float:
    """Seconds from the choice of a file to its mask."""
    began = time.perf_counter()
    page.locator("#file").set_input_files(path)
    page.locator("#caption", has_text=path.name).wait_for(timeout=PATIENCE_MS)
    wait(page, "Done")
    return time.perf_counter() - began


def mask(page: Any) -> np.ndarray:
    """The mask that the page offers."""
    with page.expect_download() as waiting:
        page.locator("#download").click()
    return np.asarray(Image.open(io.BytesIO(waiting.value.path().read_bytes())))


def chosen_images(run: Run, data: Path, count: int) -> list[np.ndarray]:
    """The first test images of a data set."""
    folder = open_folder(data, minimum_pairs=1)
    _, names = choose_images(run, folder, None)
    return [sample_image(sample) for sample in folder.samples if sample.name in names][:count]


def measure(run: Run, images: Sequence[np.ndarray], rounds: int, side: int) -> tuple[list[dict[str, Any]], list[float]]:
    """For each way of computing what it says of itself, its seconds and those of opening; and parts of equal pixels."""
    found, equal = [], []
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        made = export_run(run, place / "page", format="web", quiet=True)
        print("\n".join(made.notes))
        large = np.tile(images[0], (-(-side // images[0].shape[0]), -(-side // images[0].shape[1]), 1))[:side, :side]
        for name, image in [("large", large), *((str(number), image) for number, image in enumerate(images))]:
            write_png(place / f"{name}.png", image)
        with served(place / "page") as address, chromium() as browser:
            pages = {}
            for query in ("", "?threads=1"):
                page, began = browser.new_page(), time.perf_counter()
                page.goto(address + query)
                wait(page, "Ready")
                engine = page.locator("#engine").text_content().removeprefix("Computes with ").rstrip(".")
                found.append({"engine": engine, "opened": time.perf_counter() - began, "seconds": []})
                pages[query] = page
            found.append({"engine": "`tinyunet.load(…).predict`", "opened": None, "seconds": []})
            for number in range(rounds + 1):  # in turn; the first time is not counted
                path = place / f"large {number}.png"
                shutil.copy(place / "large.png", path)
                taken = [segment(page, path) for page in pages.values()]
                began = time.perf_counter()
                run.predict(large)
                taken.append(time.perf_counter() - began)
                for one, seconds in zip(found, taken, strict=True):
                    one["seconds"] += [seconds] if number else []
            for number, image in enumerate(images):
                segment(pages[""], place / f"{number}.png")
                equal.append(float(np.mean(mask(pages[""]) == run.labelling.decode(run.predict(image)))))
    return found, equal


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.webpage", description=__doc__)
    parser.add_argument("--run", metavar="RUN", type=Path, required=True, help="a run of 8-bit images")
    parser.add_argument("--data", metavar="FOLDER", type=Path, required=True, help="its data set, with test images")
    parser.add_argument("--images", metavar="N", type=int, default=3, help="test images whose masks are compared")
    parser.add_argument("--rounds", metavar="N", type=int, default=5, help="times that an image is segmented")
    parser.add_argument("--side", metavar="N", type=int, default=1024, help="of that image, made of test images")
    add_output_options(parser)
    arguments = parser.parse_args(argv)
    facts, run = machine(), load(arguments.run)
    images = chosen_images(run, arguments.data, arguments.images)
    found, equal = measure(run, images, arguments.rounds, arguments.side)
    megapixels = arguments.side**2 / 1e6
    rows: list[tuple[Cell, ...]] = []
    for one in found:
        spread = Spread(tuple(seconds / megapixels for seconds in one["seconds"]))
        opened = None if one["opened"] is None else f"{one['opened']:.1f}"
        rows.append((one["engine"], spread.text(), opened))
    shares = [
        ("×".join(map(str, image.shape[:2])), f"{100 * part:.4f} %") for image, part in zip(images, equal, strict=True)
    ]
    header = ("computed by", "s per megapixel, median (min–max)", "opened after, s")
    present(
        arguments,
        question="Is the static page's mask that of the run, and how long does it take?",
        machine=facts,
        tables=[
            Table(
                f"An image of {arguments.side}² pixels, from the choice of the file to its mask", header, tuple(rows)
            ),
            Table("Masks of test images", ("image", "pixels equal to JAX's"), tuple(shares)),
        ],
        raw={"times": found, "equal": equal},
    )


if __name__ == "__main__":
    main()
