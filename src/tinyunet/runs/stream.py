"""Predicting an image on disk band by band: read, computed and written in parts, and gone on with after a kill."""

import contextlib
import functools
import hashlib
import math
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from flax.traverse_util import flatten_dict
from jaxtyping import Int32, Integer, Shaped

from tinyunet.data.header import Header
from tinyunet.data.labelrows import npy_header, write_label_rows
from tinyunet.data.lazy import LazyImage
from tinyunet.data.moments import pieces
from tinyunet.data.normalise import Normalisation, measure_rows
from tinyunet.data.readers import shown
from tinyunet.data.regions import Box
from tinyunet.data.writers import explained_writing
from tinyunet.errors import DataError
from tinyunet.evaluation.temperature import scale_probabilities
from tinyunet.prediction.bands import Band, plan_bands
from tinyunet.prediction.pipeline import behind
from tinyunet.prediction.predict import Progress
from tinyunet.prediction.tiles import plan_grid
from tinyunet.runs.bandwork import (
    BandWork,
    Compute,
    Computed,
    choose_engine,
    compute_bands,
    computed_by,
    kept_dtype,
    reduce_scores,
)
from tinyunet.runs.partial import Partial, open_partial
from tinyunet.runs.run import Run
from tinyunet.runs.streamobjects import write_objects

STREAM_BYTES = 2**26
"""An image that takes more than this in float32, as the network sees it, is predicted band by band."""

_SCORES = "probabilities.npy"


def is_large(header: Header) -> bool:
    """Whether an image is better not held in memory."""
    return 4 * math.prod(header.shape) * header.channels > STREAM_BYTES


class StreamedPrediction:
    """The prediction of an image on disk, with memory for a band of it.

    The labels are those of `Run.predict`, bit for bit. A band of rows that is done is kept beside the output; started
    again after a kill, what is done is not computed again, and the output has the same bytes.

    Args:
        run: The trained network.
        image: The image.
        source: Its file.
        labels: Where the labels go, with one of `tinyunet.data.labelrows.ROW_SUFFIXES`.
        table: Where the measurements of objects go, of a run that finds objects.
        probabilities: Where the probabilities go, `.npy`; None for nowhere.
        region: The part of the image that is predicted, with the context around it, a start and a stop along each axis
            of space; None for all, as it must be for objects.
        compute: What computes the bands; None for this process. The output has the same bytes, and what one has begun
            another can go on with.

    Raises:
        DataError: The image has other axes of space than those of the training, or the region is not inside.
    """

    def __init__(
        self,
        run: Run,
        image: LazyImage,
        *,
        source: Path,
        labels: Path,
        table: Path | None = None,
        probabilities: Path | None = None,
        region: Box | None = None,
        compute: Compute | None = None,
    ):
        space = image.shape[:-1]
        run.check_axes(len(space), where=shown(source))
        self.run, self.image, self.source = run, image, source
        self.labels, self.table, self.probabilities = labels, table, probabilities
        self.compute = compute or functools.partial(compute_bands, run, image)
        self.region = check_region(region, space, where=shown(source))
        self.tiles = run.tiles_for(space)
        self.grid = plan_grid(space, self.tiles)
        self.bands = plan_bands(self.grid, self.region)

    @property
    def shape(self) -> tuple[int, ...]:
        """Pixels along each axis of the result."""
        return tuple(part.stop - part.start for part in self.region)

    def __call__(self, progress: Progress | None = None) -> list[str]:
        """Predicts what is not done yet, and writes the output whole.

        Args:
            progress: Called with the tiles done and the tiles in all, of what is to be computed.

        Returns:
            Notes, one line each: parts of the image that could not be decoded.

        Raises:
            DataError: The image cannot be read, the output cannot be written or is being written by another process, or
                what is done of it was made of something else.
        """
        with open_partial(self.labels, self._identity()) as partial:
            if self.probabilities is not None:
                self._reserve(partial)
            missing = [band for band in self.bands if not partial.has(band.number)]
            if missing:
                self._predict(partial, missing, progress)
            if self.run.finds_objects:
                self._write_objects(partial)
            else:
                self._write_labels(partial)
            if self.probabilities is not None:
                partial.move(_SCORES, self.probabilities)
            damaged = sorted(partial.recall("damaged") or [], key=_numbers)  # bands may be done in any order
        return [f"{shown(self.source)} could not be decoded in {place}: zeros stand for it." for place in damaged]

    def _predict(self, partial: Partial, missing: Sequence[Band], progress: Progress | None) -> None:
        """Computes the bands that are missing, and keeps each in a thread of its own."""
        work = BandWork(
            source=self.source,
            on_error=self.image.on_error,
            normalisation=self._normalisation(partial),
            grid=self.grid,
            region=self.region,
            probabilities=self.probabilities is not None,
        )

        choose_engine(self.run, work)  # by the first tile of all, also where the first bands are done

        def keep(done: Computed) -> None:
            self._keep(partial, done)

        computed = self.compute(work, missing, progress)
        with behind(keep, most=1) as put, contextlib.closing(computed):
            for done in computed:
                put(done)

    def _keep(self, partial: Partial, done: Computed) -> None:
        """Keeps a band that has been computed; last the file by which it counts as done."""
        band, rows, damaged = done
        if self.probabilities is not None:
            rows = scale_probabilities(rows, self.run.temperature)
            row = 4 * math.prod(rows.shape[1:])
            offset = len(npy_header((*self.shape, rows.shape[-1]), np.dtype(np.float32)))
            with explained_writing(self.probabilities), (partial.folder / _SCORES).open("r+b") as file:
                file.seek(offset + row * (band.start - self.region[0].start))
                file.write(np.ascontiguousarray(rows).data)
                file.flush()
                os.fsync(file.fileno())
            rows = reduce_scores(self.run, rows)
        if damaged:
            known = partial.recall("damaged") or []
            partial.remember("damaged", list(dict.fromkeys([*known, *damaged])))
        partial.put(band.number, rows)

    def _reserve(self, partial: Partial) -> None:
        """Makes the file of probabilities in its full size; without it no band is done."""
        assert self.probabilities is not None
        path = partial.folder / _SCORES
        if path.exists() and not partial.recall("reserving"):
            return
        with explained_writing(self.probabilities):
            partial.remember("reserving", True)
            for band in self.bands:
                partial.forget(band.number)
            shape = (*self.shape, len(self.run.classes))
            header = npy_header(shape, np.dtype(np.float32))
            with path.open("wb") as file:
                file.write(header)
                file.truncate(len(header) + 4 * math.prod(shape))
            partial.remember("reserving", False)

    def _write_labels(self, partial: Partial) -> None:
        """Puts the bands together, in the values of the training's masks."""

        def rows() -> Iterator[Integer[np.ndarray, "_rows ..."]]:
            for labels in self._kept(partial):
                yield self.run.labelling.decode(labels.astype(np.int32))

        one: Int32[np.ndarray, ...] = np.zeros((1,) * len(self.shape), np.int32)
        value = self.run.labelling.decode(one)
        write_label_rows(
            partial.folder / self.labels.name,
            rows(),
            shape=(*self.shape, *value.shape[len(self.shape) :]),
            dtype=value.dtype,
            dimensions=len(self.shape),
            like=self.source,
            origin=tuple(part.start for part in self.region),
        )
        partial.move(self.labels.name, self.labels)

    def _write_objects(self, partial: Partial) -> None:
        """Finds the objects in the bands, and puts their labels and their table in their places."""
        assert self.table is not None  # as a run that finds objects has it
        names = self.labels.name, self.table.name
        write_objects(
            self._kept(partial),
            self.image,
            config=self.run.config.objects,
            channels=self.run.channels,
            source=self.source,
            scratch=partial.folder / ".scratch",
            labels=partial.folder / names[0],
            table=partial.folder / names[1],
        )
        partial.move(names[1], self.table)
        partial.move(names[0], self.labels)

    def _kept(self, partial: Partial) -> Iterator[Shaped[np.ndarray, "_rows ..."]]:
        """What was kept of each band."""
        for band in self.bands:
            yield partial.get(band.number, (band.stop - band.start, *self.shape[1:]), kept_dtype(self.run))

    def _normalisation(self, partial: Partial) -> Normalisation:
        """That of the run, or the image's own, measured once."""
        if self.run.normalisation.kind == "dataset":
            return self.run.normalisation
        known = partial.recall("normalisation")
        if known is None:
            everything = tuple(slice(0, size) for size in self.image.shape[1:-1])
            rows = (self.image[(part, *everything)] for part in pieces(self.image.shape[:-1]))
            found = measure_rows(self.run.channels.apply(row, where=shown(self.source)) for row in rows)
            known = {"mean": found.mean, "std": found.std}
            partial.remember("normalisation", known)
        return Normalisation("dataset", tuple(known["mean"]), tuple(known["std"]))

    def _identity(self) -> dict[str, Any]:
        """What the output is made of, in plain values, by what a person calls it."""
        facts = self.source.stat()
        image = [self.source.name, facts.st_size, facts.st_mtime_ns, self.image.shape, str(self.image.dtype)]
        options = {
            "probabilities": self.probabilities is not None,
            "region": [[part.start, part.stop] for part in self.region],
            "on_error": self.image.on_error,
        }
        return {
            "image": image,
            "weights": run_digest(self.run),
            "tiles": [asdict(spec) for spec in self.tiles],
            "options": options,
            "version": computed_by(self.run),
        }


def check_region(region: Box | None, space: tuple[int, ...], *, where: str) -> Box:
    """The region itself, or all of the image.

    Args:
        region: A start and a stop along each axis of space; None for all.
        space: Pixels of the image along each of them.
        where: The image, for the message.

    Raises:
        DataError: It has other axes, or is not inside.

    Example:
        >>> check_region((slice(0, 9), slice(0, 5)), (8, 8), where="a.tif")
        Traceback (most recent call last):
        ...
        tinyunet.errors.DataError: The region 0:9,0:5 does not lie in a.tif, which is 0:8,0:8.
    """
    everything = tuple(slice(0, size) for size in space)
    if region is None:
        return everything
    inside = len(region) == len(space) and all(
        0 <= part.start < part.stop <= size for part, size in zip(region, space, strict=True)
    )
    if not inside:
        given, whole = (",".join(f"{part.start}:{part.stop}" for part in box) for box in (region, everything))
        raise DataError(f"The region {given} does not lie in {where}, which is {whole}.")
    return region


def run_digest(run: Run) -> str:
    """By which a trained network is known again: SHA-256 over its weights, and what else its labels depend on."""
    digest = hashlib.sha256()
    for variables in (run.variables, *run.others):
        for name, value in sorted(flatten_dict(variables, sep="/").items()):
            digest.update(name.encode())
            digest.update(np.ascontiguousarray(value).tobytes())
    about = [run.temperature, asdict(run.config.model), run.labelling.to_dict(), asdict(run.channels)]
    digest.update(repr([*about, asdict(run.normalisation), asdict(run.config.objects)]).encode())
    return digest.hexdigest()


def _numbers(place: str) -> list[int]:
    """The numbers in a place in words, by which places are in the order of the image."""
    return [int(number) for number in re.findall(r"\d+", place)]
