"""A run as a file, or a folder, that other programs use, checked against the run before it takes its place."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tinyunet.data.writers import replace_file, replace_folder
from tinyunet.errors import ConfigError, ParityError
from tinyunet.export.graph import onnx_package
from tinyunet.export.webpage import check_webpage, is_webpage
from tinyunet.export.webruntime import find_runtime
from tinyunet.runs.display import Display
from tinyunet.runs.exporters import WRITERS, Label
from tinyunet.runs.folder import WEIGHTS
from tinyunet.runs.parity import LEAST_EQUAL, TOLERANCE, Comparison, compare, cut_out_images, made_up_images
from tinyunet.runs.pipeline import pipeline_of
from tinyunet.runs.run import Run, load


@dataclass(frozen=True)
class Export:
    """A file, or a folder, that was written, and how it compares with its run.

    Attributes:
        path: The file or the folder.
        size_bytes: Of the file, or of all files of the folder.
        comparisons: Of three images.
        notes: What is worth knowing, one line each.
    """

    path: Path
    size_bytes: int
    comparisons: tuple[Comparison, ...]
    notes: tuple[str, ...]

    @property
    def difference(self) -> float:
        """The largest between a probability of the run and one of the file."""
        return max(comparison.difference for comparison in self.comparisons)

    @property
    def equal(self) -> float:
        """The least part of the pixels of an image with equal labels."""
        return min(comparison.equal for comparison in self.comparisons)


def export_run(
    run: Run | str | Path,
    path: str | Path,
    *,
    format: str,
    data: str | Path | None = None,
    licence: str = "",
    authors: Sequence[str] = (),
    include_image: bool = False,
    onnxruntime_web: str | Path | None = None,
    overwrite: bool = False,
    quiet: bool = False,
) -> Export:
    """Writes a run as a file for other programs, and compares what it computes with the run.

    The comparison is over three images of odd sizes, each as one piece. A file that differs by more than 1e-4 in any
    probability, or in the labels of more than a thousandth of the pixels, is not written.

    Args:
        run: A run, its folder, or its `model.safetensors`; folds go into one file, which gives their mean.
        path: The file to write, with the suffix of its format; for `web` the folder.
        format: `onnx`; `stablehlo`, for JAX; `safetensors`, the weights and the configuration, for `tinyunet.load`
            and for others; `bioimageio`, a package with the ONNX file inside; or `web`, a page with it, which computes
            in its visitors' browsers.
        data: A data set whose test images are compared; without it, images are made up.
        licence: Of the model, to be written into ONNX files and packages, such as `CC-BY-4.0`.
        authors: Of the model, to be written into packages.
        include_image: Let a package carry a test image of `data`, where it would carry one that is made up.
        onnxruntime_web: What the page computes with: the folder of that npm package, or `cdn` for files that the page
            loads from a public host. Without it npm fetches the package, and where it cannot, it is as with `cdn`.
        overwrite: Replace a file that is there, or the folder of a page.
        quiet: Show no progress.

    Raises:
        CheckpointError: The run has no weights, or they do not fit.
        ConfigError: The path cannot be used, or the format cannot hold the run; the reason is said.
        DataError: The data cannot be read, or the file not be written.
        ParityError: The file computes something else than the run.
    """
    path = Path(path)
    _check_path(path, format, overwrite=overwrite)
    if format in ("onnx", "bioimageio", "web"):  # asked for before anything takes time
        onnx_package()
        onnx_package("onnxruntime")
    if include_image and (data is None or format != "bioimageio"):
        raise ConfigError("A test image is carried by the format bioimageio alone, and taken from --data: give both.")
    if onnxruntime_web is not None and format != "web":
        raise ConfigError("onnxruntime-web is part of the format web alone: leave out --onnxruntime-web.")
    run = run if isinstance(run, Run) else load(run)
    if path.resolve() in (run.path.resolve(), (run.path / WEIGHTS).resolve()):
        raise ConfigError(f"{path} is the run itself; choose another --out.")
    run.check_weights()
    runtime = None
    if format == "web":
        check_webpage(pipeline_of(run), run.labelling)
        runtime = find_runtime(onnxruntime_web)
    images = made_up_images(run) if data is None else cut_out_images(run, Path(data))
    label = Label(
        name=path.name if format == "web" else path.stem,
        licence=licence,
        authors=tuple(authors),
        images=tuple(images) if include_image else (),
        runtime=runtime,
    )
    replace = replace_folder if format == "web" else replace_file
    with replace(path) as temporary, Display(len(images), quiet=quiet) as display:
        display.count(0, path.name)
        _, write = WRITERS[format]
        exported = write(temporary, run, label)
        files = [file for file in (temporary, *temporary.rglob("*")) if file.is_file()]
        size = sum(file.stat().st_size for file in files)
        comparisons = tuple(compare(run, exported, images, progress=display.count))
        notes = [] if format == "safetensors" else _notes(run, objects=format == "web")
        made = Export(path, size, comparisons, (*notes, *([runtime.note] if runtime else [])))
        if not (made.difference <= TOLERANCE and made.equal >= LEAST_EQUAL):  # so written, it catches nan too
            raise ParityError(
                f"{path} is not written: its probabilities differ from the run's by {made.difference:.2g}, and "
                f"{TOLERANCE:g} is allowed; its labels equal the run's on {100 * made.equal:.4g} % of the pixels, and "
                f"{100 * LEAST_EQUAL:g} % is wanted."
            )
    return made


def _check_path(path: Path, format: str, *, overwrite: bool) -> None:
    """Refuses a place where no such file can or may be written."""
    if format not in WRITERS:
        raise ConfigError(f"`format` must be one of {', '.join(WRITERS)}, got {format!r}.")
    suffix, _ = WRITERS[format]
    if format == "web":
        _check_folder(path, overwrite=overwrite)
        return
    if path.suffix != suffix:
        raise ConfigError(f"A file of the format {format} must end in {suffix}, got {path}.")
    if path.is_dir():
        raise ConfigError(f"{path} is a folder; choose the name of a file.")
    if path.exists() and not overwrite:
        raise ConfigError(f"{path} exists; replace it by --overwrite, or choose another --out.")


def _check_folder(path: Path, *, overwrite: bool) -> None:
    """Refuses a folder that holds anything but a page that may be replaced."""
    if not path.name:
        raise ConfigError(f"{path} is no name of a folder; choose another --out.")
    if path.is_symlink() or (path.exists() and not path.is_dir()):
        raise ConfigError(f"{path} is no folder; choose another --out.")
    if not path.exists() or not any(path.iterdir()):
        return
    if not is_webpage(path):
        raise ConfigError(f"{path} holds files that are no page of ours, and is not replaced; choose another --out.")
    if not overwrite:
        raise ConfigError(f"{path} exists; replace it by --overwrite, or choose another --out.")


def _notes(run: Run, *, objects: bool = False) -> list[str]:
    """What a file cannot do that the run does; one that finds objects can do more."""
    notes = []
    if run.config.model.dtype != "float32":
        notes.append(f"The network was trained in {run.config.model.dtype}; the file computes in float32.")
    if run.config.data.spacing:
        spacing = " × ".join(f"{side:g}" for side in run.config.data.spacing)
        notes.append(f"The file takes volumes with a spacing of {spacing}: it does not resample others.")
    if run.finds_objects and not objects:
        notes.append("The file gives the maps that objects are found in, not the objects.")
    return notes
