"""One upload to the bytes that are sent back: those which `tinyunet predict` would write."""

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from tinyunet.data.header import Header
from tinyunet.errors import DataError
from tinyunet.prediction.predict import Progress
from tinyunet.runs.predict import RECORD, Job, PredictOptions, predict_files, write_record
from tinyunet.runs.run import Run
from tinyunet.web.problems import one_line
from tinyunet.web.serve.view import view_files
from tinyunet.web.uploads import UploadError, UploadLimits, refusal, stored_upload

Result = Literal["labels", "probabilities", "overlay", "uncertainty", "objects", "objects.json", "all", "view"]

TYPES = {
    ".png": "image/png",
    ".tif": "image/tiff",
    ".npy": "application/x-npy",
    ".csv": "text/csv; charset=utf-8",
    ".json": "application/json",
    ".zip": "application/zip",
}
"""What is said of a file's content, by its suffix."""


@dataclass(frozen=True)
class Answer:
    """What is sent back.

    Attributes:
        name: Of the file, by which it may be kept.
        content: Its bytes.
        notes: What deserves a look, one line each.
        pixels: Of the image.
    """

    name: str
    content: bytes
    notes: tuple[str, ...]
    pixels: int

    @property
    def content_type(self) -> str:
        """Of HTTP."""
        return TYPES[Path(self.name).suffix]


def answer(
    run: Run,
    content: bytes,
    result: Result,
    *,
    limits: UploadLimits,
    tta: bool = False,
    progress: Progress | None = None,
) -> Answer:
    """Predicts an upload.

    Args:
        run: The trained network.
        content: What was sent.
        result: What is wanted of it: one file; `all`, a zip of every file there is; or `view`, a zip of the pictures
            that the page shows.
        limits: How large the upload may be.
        tta: Test-time augmentation.
        progress: Called with the tiles done and the tiles in all; what it raises ends the prediction.

    Raises:
        UploadError: The upload is refused, or it is none of the images that the network was trained on.
        ConfigError: Test-time augmentation of a network that was trained with neither flips nor turns.
    """
    if result in ("objects", "objects.json") and not run.finds_objects:
        raise UploadError(422, "The network tells no objects apart, so that there is no table of them.")
    if result == "view" and run.dimensions == 3:
        raise UploadError(422, "A view is one of images, and the network was trained on volumes: ask for an overlay.")
    with stored_upload(content, limits, axes=run.config.data.axes) as (path, header):
        job = _job(run, path, path.parent / "out")
        options = PredictOptions(
            probabilities=result in ("probabilities", "all", "view"),
            overlays=result in ("overlay", "all"),
            uncertainty=result in ("uncertainty", "all"),
            tta=tta,
        )
        try:
            notes = predict_files(run, [job], options, progress=progress, quiet=True)
        except DataError as error:
            raise UploadError(422, refusal(error, path)) from None
        found = _written(job, header)
        said = tuple(one_line(note.replace(str(path), "The upload")) for note in notes)
        pixels = int(np.prod(header.shape))
        if result in ("all", "view"):
            if result == "all":
                write_record(run, job.labels.parent)
                found[RECORD] = (job.labels.parent / RECORD).read_bytes()
            else:
                found = view_files(run, job, found, said)
            return Answer(f"{result}.zip", zipped(found), said, pixels)
        name = next(name for name in found if name.startswith(result) or name == result)
        return Answer(name, found[name], said, pixels)


def _job(run: Run, path: Path, out: Path) -> Job:
    """The files that a prediction becomes: PNG of an image, the upload's own kind of a volume."""
    volumes = path.suffix if path.suffix == ".npy" else ".tif"
    kind = labels_kind(run) if run.dimensions == 2 else volumes
    return Job(
        path,
        labels=out / f"labels{kind}",
        probabilities=out / "probabilities.npy",
        overlay=out / "overlay.png",
        table=out / "objects.csv",
        uncertainty=out / ("uncertainty.png" if run.dimensions == 2 else "uncertainty.npy"),
    )


def labels_kind(run: Run) -> str:
    """The suffix of the labels of an image: PNG, or TIFF where the values of the masks do not fit into one."""
    values = run.labelling.decode(np.zeros((1, 1), np.int32))
    return ".png" if values.dtype in (np.uint8, np.uint16) else ".tif"


def _written(job: Job, header: Header) -> dict[str, bytes]:
    """What was written, by name."""
    found = {path.name: path.read_bytes() for path in sorted(job.labels.parent.iterdir())}
    if (table := found.get(job.table.name)) is not None:
        found["objects.json"] = table_json(table.decode())
    return found


def table_json(table: str) -> bytes:
    r"""A table as JSON: a list of objects, one for each row.

    Args:
        table: CSV with a header, all of whose values are numbers.

    Example:
        >>> table_json("id,area\n1,2.5\n2,nan\n")
        b'[{"id": 1, "area": 2.5}, {"id": 2, "area": null}]'
    """
    names, *rows = (line.split(",") for line in table.splitlines())
    return json.dumps([dict(zip(names, map(_number, row), strict=True)) for row in rows]).encode()


def _number(text: str) -> int | float | None:
    if text.lstrip("-").isdigit():
        return int(text)
    value = float(text)
    return value if np.isfinite(value) else None


def zipped(files: Mapping[str, bytes]) -> bytes:
    """A zip of files, stored as they are: pictures are compressed already, and a page can read it without a library.

    The same files give the same bytes.
    """
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return content.getvalue()
