"""Predicting files and folders into a folder."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tinyunet import __version__
from tinyunet.data.header import MAX_REGION_PIXELS, Header
from tinyunet.data.labelfile import write_labels, write_nifti
from tinyunet.data.labelrows import ROW_SUFFIXES
from tinyunet.data.lazy import OnError, open_lazily
from tinyunet.data.readers import NIFTI_SUFFIXES, SUFFIXES, read_header, read_image, shown, stem, suffix
from tinyunet.data.regions import Box
from tinyunet.data.writers import write_array, write_png, write_text
from tinyunet.errors import DataError
from tinyunet.evaluation.overlay import object_colors
from tinyunet.evaluation.panel import view
from tinyunet.objects.measure import measure_objects, table_text
from tinyunet.prediction.predict import Progress
from tinyunet.prediction.uncertainty import normalised_entropy
from tinyunet.runs.bandwork import Compute
from tinyunet.runs.build import LARGE_PIXELS
from tinyunet.runs.display import Display
from tinyunet.runs.run import Run
from tinyunet.runs.stream import StreamedPrediction, is_large

LOSSLESS = {kind: kind for kind in (".tif", ".tiff", ".zarr", *NIFTI_SUFFIXES)}
"""Suffix of the labels by suffix of the image, where it is not `.png`: JPEG would spoil them."""

RECORD = "prediction.json"
"""Lies beside the predictions and says what made them."""


@dataclass(frozen=True)
class Job:
    """One image, and the files its prediction becomes."""

    image: Path
    labels: Path
    probabilities: Path
    overlay: Path
    table: Path
    uncertainty: Path


def plan_jobs(
    inputs: Sequence[str | Path],
    out: str | Path,
    *,
    probabilities: bool = False,
    overlays: bool = False,
    uncertainty: bool = False,
    tables: bool = False,
    volumes: bool = False,
) -> list[Job]:
    """What to predict and where to put it.

    A folder stands for the images in it, or in its `images/`, not further down. The labels of PNG, JPEG and BMP are
    PNG, those of TIFF are TIFF and those of NIfTI are NIfTI, those of `a.npy` are `a_labels.npy`.

    Args:
        inputs: Images and folders of images.
        out: The folder to write to.
        probabilities: They will be written too, so that their names must be free.
        overlays: The same of overlays.
        uncertainty: The same of maps of uncertainty.
        tables: The same of tables of objects.
        volumes: The run's images are volumes, whose maps are no pictures.

    Raises:
        DataError: Everything that is wrong, one line each: an input that is not there, a folder without images, two
            inputs that would write one file, an output that would replace an input.
    """
    problems: list[str] = []
    images: list[Path] = []
    for given in map(Path, inputs):
        if given.is_dir() and suffix(given) not in SUFFIXES:
            place = given / "images" if (given / "images").is_dir() else given
            found = sorted(p for p in place.iterdir() if suffix(p) in SUFFIXES and not p.name.startswith("."))
            images += found
            if not found:
                problems.append(f"{place} holds no images; known suffixes are {', '.join(SUFFIXES)}.")
        elif given.exists():
            images.append(given)
        else:
            problems.append(f"There is no file or folder {given}.")
    jobs = [_job(image, Path(out), volumes=volumes) for image in dict.fromkeys(images)]
    taken: dict[Path, Path] = {}
    sources = {image.resolve() for image in images}
    for job in jobs:
        for target in (
            job.labels,
            *(job.probabilities,) * probabilities,
            *(job.overlay,) * overlays,
            *(job.table,) * tables,
            *(job.uncertainty,) * uncertainty,
        ):
            if (other := taken.setdefault(target, job.image)) != job.image:
                problems.append(f"{other} and {job.image} would both write {target}; rename one, or use two --out.")
            if target.resolve() in sources:
                problems.append(f"Predicting {job.image} would replace the image {target}; choose another --out.")
    if problems:
        raise DataError(*dict.fromkeys(problems))
    return jobs


@dataclass(frozen=True, kw_only=True)
class PredictOptions:
    """What is written of each image, and how it is predicted.

    Attributes:
        probabilities: Write the probabilities of all classes as well, `.npy`, float32 (h, w, k).
        overlays: Write the labels drawn over the image as well, as `_overlay.png`; of a volume three slices.
        uncertainty: Write how unsure the network is as well, as `_uncertainty.png`: 0 where it is sure, 255 where all
            classes are equally probable.
        tta: Test-time augmentation.
        region: Predict this part of every image alone, a start and a stop along each axis of space; None for all.
        on_error: What is done about a part of an image that cannot be decoded, where images are read in parts.
    """

    probabilities: bool = False
    overlays: bool = False
    uncertainty: bool = False
    tta: bool = False
    region: Box | None = None
    on_error: OnError = "stop"


def predict_files(
    run: Run,
    jobs: Sequence[Job],
    options: PredictOptions | None = None,
    *,
    compute: Compute | None = None,
    progress: Progress | None = None,
    quiet: bool = False,
) -> list[str]:
    """Predicts every job and writes its files, each whole or not at all.

    One file that cannot be read does not keep the others from being predicted. A large image is predicted band by band
    (see `StreamedPrediction`) where that can be done.

    Args:
        run: The trained network.
        jobs: What `plan_jobs` gives.
        options: What is written, and how it is predicted; labels alone by default.
        compute: What computes the bands of large images; None for this process, as it is for all others.
        progress: Called with the tiles done and the tiles in all of each image; what it raises ends the prediction, and
            no half of a file is left.
        quiet: Show no progress.

    Returns:
        Notes about images that were predicted but deserve a look, one line each.

    Raises:
        DataError: Every image that could not be predicted, one line each, after all the others have been.
    """
    options = options or PredictOptions()
    problems: list[str] = []
    notes: list[str] = []
    whole: list[str] = []
    for folder in {job.labels.parent for job in jobs}:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(f"The folder {folder} cannot be made: {error.strerror}; choose another --out.") from error
    with Display(len(jobs), quiet=quiet) as display:
        for done, job in enumerate(jobs):
            began = time.monotonic()

            def told(tiles: int, total: int, job: Job = job, done: int = done, began: float = began) -> None:
                display.parts(done, job.image.name, tiles, total, since=began)
                if progress is not None:
                    progress(tiles, total)

            try:
                about, in_parts = _predict(run, job, options, (told, progress), compute)
                notes += about
                whole += [shown(job.image)] * (not in_parts)
            except DataError as error:
                problems += error.problems
            display.count(done + 1, job.image.name)
    if problems:
        raise DataError(*problems)
    if compute is not None and whole:
        which = whole[0] if len(whole) == 1 else f"{len(whole)} images, such as {whole[0]},"
        notes.append(f"{which} {'was' if len(whole) == 1 else 'were'} predicted here: Dask is for large images.")
    return notes


def write_record(run: Run, out: Path) -> None:
    """Writes down beside the predictions what made them: the model, and what computed it in which tiles."""

    def tiling(pixels: int) -> dict[str, Any]:
        specs = run.tiles_for((pixels,))
        return {"largest_tile": [spec.ladder[-1] for spec in specs], "tiles_at_once": specs[0].batch}

    record = {
        "tinyunet": __version__,
        "model": str(run.path),
        "seed": run.config.seed,
        **run.engine.record,
        **tiling(1),
        "large_images": {"from_pixels": LARGE_PIXELS, **tiling(LARGE_PIXELS)},
    }
    write_text(out / RECORD, json.dumps(record, indent=1) + "\n")


def _predict(
    run: Run, job: Job, options: PredictOptions, told: tuple[Progress, Progress | None], compute: Compute | None
) -> tuple[list[str], bool]:
    """Predicts one image, in parts if that is asked for or worth it and can be done; notes, and whether it was so.

    What is `told` of the tiles done is the one in parts, and the other of an image as a whole.
    """
    of_parts, of_whole = told
    asked = options.region is not None or options.on_error == "fill"
    if not asked and suffix(job.image) not in ROW_SUFFIXES:
        return _predict_whole(run, job, options, of_whole), False
    header = read_header(job.image, axes=run.config.data.axes, most=MAX_REGION_PIXELS)
    if not asked and not (is_large(header) and suffix(job.labels) in ROW_SUFFIXES):
        return _predict_whole(run, job, options, of_whole), False
    with open_lazily(job.image, axes=run.config.data.axes, on_error=options.on_error) as image:
        reason = _in_one_piece(run, header, options)
        if image is None:
            reason = "its file cannot be read in parts"
        if image is not None and reason is None:
            streamed = StreamedPrediction(
                run,
                image,
                source=job.image,
                labels=job.labels,
                table=job.table if run.finds_objects else None,
                probabilities=job.probabilities if options.probabilities else None,
                region=options.region,
                compute=compute,
            )
            return streamed(of_parts), True
    if options.region is not None:
        raise DataError(f"{shown(job.image)} can be predicted as a whole only, since {reason}; leave out --region.")
    notes = [f"{shown(job.image)} was predicted as a whole in memory, since {reason}."] if is_large(header) else []
    return [*_predict_whole(run, job, options, of_whole), *notes], False


def _in_one_piece(run: Run, header: Header, options: PredictOptions) -> str | None:
    """Why an image cannot be predicted in parts; None if it can."""
    spacing = header.geometry.spacing if header.geometry is not None else ()
    if run.finds_objects and options.region is not None:
        return "an object is found with all of it in sight"
    for name in ("tta", "overlays", "uncertainty"):
        if getattr(options, name):
            return f"--{name} wants all of it"
    if run.working_shape(header.shape, spacing) != header.shape:
        return "its spacing is not that of the training"
    return None


def _predict_whole(run: Run, job: Job, options: PredictOptions, progress: Progress | None) -> list[str]:
    image = _read(run, job.image)
    geometry = read_header(job.image, axes=run.config.data.axes).geometry
    spacing = geometry.spacing if geometry is not None else ()
    if options.probabilities or options.uncertainty:
        scores = run.probabilities(image, spacing=spacing, tta=options.tta, progress=progress)
        labels = run.decide(scores)
        if options.probabilities:
            write_array(job.probabilities, scores)
        if options.uncertainty:
            _write_uncertainty(job, np.round(255 * normalised_entropy(scores)).astype(np.uint8))
    else:
        labels = run.predict(image, spacing=spacing, tta=options.tta, progress=progress)
    many = run.finds_objects and labels.max() >= 2**16 and job.labels.suffix == ".png"  # which holds 16 bits
    write_labels(job.labels.with_suffix(".tif") if many else job.labels, labels, run.labelling, like=job.image)
    if run.finds_objects:
        unit = geometry.unit if geometry is not None else ""
        write_text(job.table, table_text(measure_objects(labels, image, spacing=spacing, unit=unit)))
    if options.overlays:
        colors = object_colors(int(labels.max())) if run.finds_objects else run.labelling.colors
        upward = geometry is not None and geometry.affine is not None
        sides = spacing or (1.0,) * labels.ndim
        write_png(job.overlay, view(image, labels, colors, background=plain_class(run), spacing=sides, upward=upward))
    constant = np.ptp(image) == 0
    return [f"{job.image} has one value everywhere; its labels mean nothing."] if constant else []


def plain_class(run: Run) -> int:
    """The class that pictures leave as it is: the first, but the second where the first is the border between two."""
    return 1 if run.labelling.num_classes == 2 and run.labelling.boundary == run.labelling.names[0] else 0


def _read(run: Run, path: Path) -> np.ndarray:
    """An image with as many axes as the run's, in the channels that are used."""
    image = read_image(path, axes=run.config.data.axes)
    run.check_axes(image.ndim - 1, where=shown(path))
    return run.channels.apply(image, where=str(path))


def _write_uncertainty(job: Job, values: np.ndarray) -> None:
    match suffix(job.uncertainty):
        case ".png":
            write_png(job.uncertainty, values)
        case ".npy":
            write_array(job.uncertainty, values)
        case _:
            write_nifti(job.uncertainty, values, like=job.image)


def _job(image: Path, out: Path, *, volumes: bool) -> Job:
    name, kind = stem(image), suffix(image)
    labels = f"{name}_labels.npy" if kind == ".npy" else name + LOSSLESS.get(kind, ".png")
    unsure = kind if kind in NIFTI_SUFFIXES else ".npy" if volumes else ".png"
    return Job(
        image,
        labels=out / labels,
        probabilities=out / f"{name}.npy",
        overlay=out / f"{name}_overlay.png",
        table=out / f"{name}.csv",
        uncertainty=out / f"{name}_uncertainty{unsure}",
    )
