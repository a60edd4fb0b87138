"""A run in each format: how a file is written, and how what was written computes probabilities."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
from jaxtyping import Float32, Shaped, UInt8

from tinyunet.data.normalise import normalise
from tinyunet.errors import ConfigError, ParityError
from tinyunet.evaluation.display import to_display
from tinyunet.evaluation.overlay import object_colors, overlay
from tinyunet.export.bioimageio import Card, read_package, write_bioimageio
from tinyunet.export.onnxfile import open_onnx, write_onnx
from tinyunet.export.stablehlo import open_stablehlo, write_stablehlo
from tinyunet.export.webpage import MODEL, Page, write_webpage
from tinyunet.export.webruntime import WebRuntime
from tinyunet.runs.build import build_tiles
from tinyunet.runs.parity import Exported, Whole, telling_images
from tinyunet.runs.pipeline import pipeline_of
from tinyunet.runs.run import Run, load
from tinyunet.runs.weights import write_weights

LEAST_RESULT = 1e-4
"""What the largest number of a package's test results must be, or its validator takes them for all zero."""


@dataclass(frozen=True, kw_only=True)
class Label:
    """What is written onto an export.

    Attributes:
        name: Of the model.
        licence: Of the model, or empty.
        authors: Of the model.
        images: Test images as their files hold them, of which a format that carries one may take any; without them it
            makes one up.
        runtime: Where a page has onnxruntime-web from.
    """

    name: str
    licence: str = ""
    authors: tuple[str, ...] = ()
    images: tuple[Shaped[np.ndarray, "*space c"], ...] = ()
    runtime: WebRuntime | None = None


def _onnx(path: Path, run: Run, label: Label) -> Exported:
    write_onnx(path, pipeline_of(run, licence=label.licence))
    return _by_onnx(path.read_bytes())


def _by_onnx(content: bytes) -> Exported:
    compute = open_onnx(content)
    return lambda image: channels_last(compute(channels_first(image)))


def channels_first(image: Shaped[np.ndarray, "*space c"]) -> Float32[np.ndarray, "1 c *space"]:
    """An image as an ONNX file takes it.

    Example:
        >>> channels_first(np.zeros((4, 6, 3), np.uint8)).shape
        (1, 3, 4, 6)
    """
    return np.ascontiguousarray(np.moveaxis(image, -1, 0)[np.newaxis], np.float32)


def channels_last(results: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The results of an ONNX file for one image, as a run would give them.

    Example:
        >>> results = {"probabilities": np.zeros((1, 2, 4, 6)), "labels": np.zeros((1, 4, 6))}
        >>> {name: values.shape for name, values in channels_last(results).items()}
        {'probabilities': (4, 6, 2), 'labels': (4, 6)}
    """
    alone = {name: values[0] for name, values in results.items()}
    return alone | {"probabilities": np.moveaxis(alone["probabilities"], 0, -1)}


def _stablehlo(path: Path, run: Run, label: Label) -> Exported:
    write_stablehlo(path, pipeline_of(run, licence=label.licence))
    compute = open_stablehlo(path)
    return lambda image: {
        name: np.asarray(values[0]) for name, values in compute(image[np.newaxis].astype(np.float32)).items()
    }


def _safetensors(path: Path, run: Run, label: Label) -> Exported:
    write_weights(path, run.variables, run.config, temperature=run.temperature, others=run.others)
    whole = Whole(load(path))
    return lambda image: {"probabilities": whole(image)}


def _bioimageio(path: Path, run: Run, label: Label) -> Exported:
    pipeline = pipeline_of(run, licence=label.licence)
    write_onnx(path, pipeline)
    weights = path.read_bytes()
    image, tensors = _test(run, open_onnx(weights), label.images)
    card = Card(name=_title(label.name), task=run.labelling.task, licence=label.licence, authors=label.authors)
    cover = _cover(run, image, np.moveaxis(tensors["probabilities"][0], 0, -1))
    write_bioimageio(path, pipeline, card, weights=weights, tensors=tensors, cover=cover)
    weights, tensors = read_package(path)
    again = open_onnx(weights)(tensors["image"])
    if any(not np.array_equal(values, tensors[name]) for name, values in again.items()):
        raise ParityError("The package does not give its own test results.")
    return _by_onnx(weights)


def _test(
    run: Run, compute: Callable[[np.ndarray], dict[str, np.ndarray]], images: Sequence[np.ndarray]
) -> tuple[Shaped[np.ndarray, "*space c"], dict[str, np.ndarray]]:
    """The first image in which the network finds something, and it with all results, as the file takes them."""
    for given in images or telling_images(run):
        image = run.channels.apply(given, where="The image")
        tensors = {"image": channels_first(image)}
        results = compute(tensors["image"])
        if all(np.abs(values).max() >= LEAST_RESULT for values in results.values()):
            return image, tensors | results
    where, way_out = ("the test images", "other") if images else ("images that are made up", "some")
    raise ConfigError(
        f"A bioimage.io package must not have test results that are all 0, and the network finds nothing in {where}: "
        f"give {way_out} by --data DATA --include-image."
    )


def _title(name: str) -> str:
    """A name of letters and digits, of five at least."""
    plain = re.sub(r"[^A-Za-z0-9_+\- ()]", "_", name)[:64]
    return plain if len(plain) >= 5 else f"U-Net {plain}"


def _cover(
    run: Run, image: Shaped[np.ndarray, "*space c"], probabilities: Float32[np.ndarray, "*space k"]
) -> UInt8[np.ndarray, "h w 3"]:
    """A square of the image, and beside it the same with its labels."""
    labels = run.decide(probabilities)
    if labels.ndim == 3:
        middle = len(labels) // 2
        image, labels = image[middle], labels[middle]
    side = min(labels.shape)
    shown, labels = to_display(image[:side, :side]), labels[:side, :side]
    colors = object_colors(int(labels.max())) if run.finds_objects else run.labelling.colors
    return np.concatenate([shown, overlay(shown, labels, colors)], axis=1)


def _web(path: Path, run: Run, label: Label) -> Exported:
    """The model of a page is compared as the page uses it; how the page cuts images is the same for all models."""
    page = Page(
        name=label.name,
        labelling=run.labelling,
        tiles=build_tiles(run.config.model, run.config.patch, large=True),  # of these less is thrown away
        objects=run.config.objects if run.finds_objects else None,
        licence=label.licence,
    )
    path.mkdir(exist_ok=True)
    write_webpage(path, pipeline_of(run, licence=label.licence), page, label.runtime or WebRuntime(""))
    compute = _by_onnx((path / MODEL).read_bytes())
    by_page = run.normalisation.kind == "image"

    def exported(image: Shaped[np.ndarray, "*space c"]) -> Mapping[str, np.ndarray]:
        used = run.channels.apply(image, where="The image")
        return compute(normalise(used, run.normalisation) if by_page else used)

    return exported


WRITERS: Mapping[str, tuple[str, Callable[[Path, Run, Label], Exported]]] = MappingProxyType(
    {
        "onnx": (".onnx", _onnx),
        "stablehlo": (".stablehlo", _stablehlo),
        "safetensors": (".safetensors", _safetensors),
        "bioimageio": (".zip", _bioimageio),
        "web": ("", _web),
    }
)
"""For each format what names of files end in, nothing of folders, and what writes one."""
