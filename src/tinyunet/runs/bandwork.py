"""The work on bands of an image, in plain values: any process that has the network and sees the image can do it."""

import contextlib
import itertools
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float32, Shaped

from tinyunet import __version__
from tinyunet.data.lazy import LazyImage, OnError, open_lazily
from tinyunet.data.normalise import Normalisation, normalise
from tinyunet.data.readers import shown
from tinyunet.data.regions import Box
from tinyunet.data.window import RowWindow
from tinyunet.layers.paths import instruction_set
from tinyunet.objects.decode import inside_objects
from tinyunet.objects.rows import OUTSIDE
from tinyunet.objects.target import CORE
from tinyunet.prediction.bands import Band
from tinyunet.prediction.predict import Progress, choose, predict_bands
from tinyunet.prediction.tiles import Grid, read_tile
from tinyunet.runs.run import Run

READ_AHEAD = 4
"""Batches of tiles that are cut while the network computes."""


@dataclass(frozen=True, kw_only=True)
class BandWork:
    """What is computed of an image, beside the network.

    Attributes:
        source: The image's file.
        on_error: What is done about a part of it that cannot be decoded.
        normalisation: How its values are normalised: by given numbers, never by its own.
        grid: How it is cut into tiles.
        region: The part of it that is predicted, with the context around it.
        probabilities: Whether probabilities are wanted in themselves.
    """

    source: Path
    on_error: OnError
    normalisation: Normalisation
    grid: Grid
    region: Box
    probabilities: bool


class Computed(NamedTuple):
    """A band that has been computed.

    Attributes:
        band: The band.
        rows: Its probabilities (rows, *rest, k) where they are wanted, or what `reduce_scores` makes of them.
        damaged: Where in the image zeros stand for what could not be decoded, as far as it is known, in words.
    """

    band: Band
    rows: Shaped[np.ndarray, "rows *rest"]
    damaged: list[str]


Compute = Callable[[BandWork, Sequence[Band], Progress | None], Generator[Computed, None, None]]
"""What computes bands, here or elsewhere; it gives them in any order."""


def compute_bands(
    run: Run, image: LazyImage, work: BandWork, bands: Sequence[Band], progress: Progress | None = None
) -> Generator[Computed, None, None]:
    """Computes bands in this process, in their order, while the next are read.

    Args:
        run: The trained network.
        image: The image, `work.source` opened.
        work: What is computed of it.
        bands: Any of `plan_bands`, in ascending order.
        progress: Called with the tiles done and the tiles in all of these bands.
    """
    pixels = _Prepared(run, image, work.normalisation, where=shown(work.source))
    before = 0
    for group in without_gaps(bands):
        finished = predict_bands(
            run.forward,
            pixels,
            work.grid,
            group,
            region=work.region,
            classes=len(run.classes),
            progress=None if progress is None else _part(progress, before, len(bands), len(group)),
            read_ahead=READ_AHEAD,
            reduce=None if work.probabilities else lambda scores: reduce_scores(run, scores),
        )
        with contextlib.closing(finished):
            for band, rows in finished:
                yield Computed(band, rows, list(image.damaged))
        before += len(group)


def choose_engine(run: Run, work: BandWork) -> str:
    """What computes, chosen by the image's first tile if it was not before; for processes that are to do the same.

    Raises:
        DataError: The image cannot be read there.
    """
    if run.engine.chosen is None:
        with open_lazily(work.source, axes=run.config.data.axes, on_error=work.on_error) as image:
            assert image is not None  # as it is predicted in parts
            pixels = _Prepared(run, image, work.normalisation, where=shown(work.source))
            tile, valid = read_tile(pixels, work.grid, work.grid.tile(0))
            run.engine.choose(tile[np.newaxis], valid[np.newaxis])
    assert run.engine.chosen is not None
    return run.engine.chosen


def reduce_scores(run: Run, probabilities: Float32[np.ndarray, "*part k"]) -> Shaped[np.ndarray, "*part"]:
    """What is kept of the probabilities of pixels: their classes, or what objects are found by."""
    if run.finds_objects:
        inside = inside_objects(probabilities, run.config.objects)
        return np.where(inside, probabilities[..., CORE], np.float32(OUTSIDE))
    return choose(probabilities).astype(kept_dtype(run))


def kept_dtype(run: Run) -> np.dtype:
    """Of what is kept: class ids, or probabilities of the core."""
    return np.dtype(np.float32) if run.finds_objects else np.dtype(np.min_scalar_type(len(run.classes) - 1))


def computed_by(run: Run) -> list[str]:
    """What the bits of a result depend on beside the weights and the image, as far as a process can say it."""
    kernels = instruction_set()
    try:
        onnx = f"ONNX Runtime {metadata.version('onnxruntime')}"
    except metadata.PackageNotFoundError:
        onnx = "no ONNX Runtime"
    return [
        f"tinyunet {__version__}",
        f"jax {jax.__version__}",
        jax.default_backend(),
        "no kernels" if kernels is None else f"kernels for {kernels}",
        onnx,
        f"runtime {run.runtime}",
    ]


def without_gaps(bands: Sequence[Band]) -> Iterator[list[Band]]:
    """Bands that follow one another, together."""
    numbered = enumerate(bands)
    for _, group in itertools.groupby(numbered, key=lambda pair: pair[1].number - pair[0]):
        yield [band for _, band in group]


class _Prepared:
    """An image as the network sees it, of which parts are read: its channels that are used, normalised."""

    def __init__(self, run: Run, image: LazyImage, normalisation: Normalisation, *, where: str):
        self._run, self._normalisation, self._where = run, normalisation, where
        self._window = RowWindow(image)

    @property
    def shape(self) -> tuple[int, ...]:
        return (*self._window.shape[:-1], self._run.channels.used)

    def __getitem__(self, key: Box) -> Float32[np.ndarray, "*part c"]:
        return normalise(self._run.channels.apply(self._window[key], where=self._where), self._normalisation)


def _part(progress: Progress, before: int, bands: int, group: int) -> Callable[[int, int], None]:
    """Progress of some of the bands as a part of all that are to be computed, which have about as many tiles each."""

    def told(done: int, tiles: int) -> None:
        each = tiles / group
        progress(round(before * each) + done, round(bands * each))

    return told
