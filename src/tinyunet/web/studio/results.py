"""What one takes home: an exported model, the predicted masks, the report."""

import shutil
import tempfile
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from tinyunet.data.labelfile import write_labels
from tinyunet.errors import ConfigError
from tinyunet.runs.export import export_run
from tinyunet.runs.exporters import WRITERS
from tinyunet.runs.folder import WEIGHTS
from tinyunet.runs.report import write_report
from tinyunet.runs.run import load
from tinyunet.web.studio.strokes import read_labels
from tinyunet.web.studio.studio import RUN, Studio

_one_at_a_time = threading.Lock()


@contextmanager
def _alone() -> Iterator[None]:
    """Refuses a second long piece of work while one is done."""
    if not _one_at_a_time.acquire(blocking=False):
        raise ConfigError("An export is being made already: wait until it is there.")
    try:
        yield
    finally:
        _one_at_a_time.release()


def learnt(studio: Studio) -> Path:
    """The run folder, with what has been learnt by now.

    Raises:
        ConfigError: Nothing has been learnt yet.
        DataError: It cannot be written.
    """
    studio.write_masks()
    studio.training.save()
    run = studio.folder.root / RUN
    if not (run / WEIGHTS).is_file():
        raise ConfigError("Nothing has been learnt yet: paint a few strokes of two classes, and wait a few seconds.")
    return run


def export(studio: Studio, format: str, folder: Path) -> Path:
    """Writes the model as a file for other programs, compared with what it is here; a folder becomes a zip.

    Args:
        studio: Whose model.
        format: One of `tinyunet.runs.exporters.WRITERS`.
        folder: Where to write it.

    Raises:
        ConfigError: There is no such format, nothing to export, or another export is running.
    """
    if format not in WRITERS:
        raise ConfigError(f"`format` must be one of {', '.join(WRITERS)}, got {format[:40]!r}.")
    with _alone():
        suffix, _ = WRITERS[format]
        made = export_run(learnt(studio), folder / f"model{suffix}", format=format, quiet=True).path
        return Path(shutil.make_archive(str(made), "zip", made)) if made.is_dir() else made


def labels_zip(studio: Studio, folder: Path) -> Path:
    """Writes the predicted masks of all images into a zip, as files that masks of this data set are.

    What the newest weights have shown already is taken as it is; the others are predicted now.

    Args:
        studio: Whose.
        folder: Where to write it.

    Raises:
        ConfigError: Nothing has been learnt yet.
    """
    with _alone():
        run = load(learnt(studio))
        path = folder / "labels.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as packed, tempfile.TemporaryDirectory() as place:
            for entry in studio.folder.entries:
                shown = studio.training.shown(entry.stem)
                if shown is not None and shown.version == studio.training.status.version:
                    labels = read_labels(shown.labels, shape=entry.shape).astype(np.int32)
                else:
                    labels = run.predict(studio.pixels(entry))
                name = f"{entry.stem}{entry.mask.suffix}"
                write_labels(Path(place, name), labels, studio.folder.labelling)
                packed.write(Path(place, name), name)
                Path(place, name).unlink()
    return path


def report(studio: Studio) -> bytes:
    """The report of what has been learnt by now, as HTML.

    Raises:
        ConfigError: Nothing has been learnt yet.
    """
    return write_report(learnt(studio)).read_bytes()
