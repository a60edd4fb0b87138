"""A bioimage.io package: the ONNX file, a description, test data, a cover and documentation in one zip.

References:
    The model description of bioimage.io, version 0.5: https://github.com/bioimage-io/spec-bioimage-io.
"""

import hashlib
import io
import json
import keyword
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from tinyunet.export.graph import OPSET
from tinyunet.export.pipeline import Pipeline

DESCRIPTION, WEIGHTS, README, COVER = "rdf.yaml", "weights.onnx", "README.md", "cover.png"
FORMAT_VERSION = "0.5.5"


@dataclass(frozen=True, kw_only=True)
class Card:
    """What a package says about its model in words.

    Attributes:
        name: Five letters or more.
        task: What it was trained for, as the labelling has it.
        licence: An SPDX identifier, or empty.
        authors: Their names.
    """

    name: str
    task: str
    licence: str = ""
    authors: tuple[str, ...] = ()


def write_bioimageio(
    path: Path,
    pipeline: Pipeline,
    card: Card,
    *,
    weights: bytes,
    tensors: Mapping[str, np.ndarray],
    cover: UInt8[np.ndarray, "h w 3"],
) -> None:
    """Writes the package, of equal bytes for equal parts: it holds no time.

    Args:
        path: The zip to write.
        pipeline: What is inside the weights.
        card: Words.
        weights: The ONNX file.
        tensors: A test image as the file takes it, `image`, and all results for it by name.
        cover: A picture, twice as wide as high.
    """
    picture = io.BytesIO()
    Image.fromarray(cover).save(picture, "PNG")
    files = {WEIGHTS: weights, COVER: picture.getvalue(), README: _readme(pipeline, card).encode()}
    for name, tensor in tensors.items():
        stored = io.BytesIO()
        np.save(stored, tensor, allow_pickle=False)
        files[_tensor_file(name)] = stored.getvalue()
    # JSON is YAML too.
    text = json.dumps(_description(pipeline, card, files), indent=1, ensure_ascii=False)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as package:
        for name, content in {DESCRIPTION: text.encode(), **files}.items():
            entry = zipfile.ZipInfo(name)  # of the year 1980, as one without a date is
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            package.writestr(entry, content)


def read_package(path: Path) -> tuple[bytes, dict[str, np.ndarray]]:
    """The weights and the test tensors of a package."""
    with zipfile.ZipFile(path) as package:
        names = [name for name in package.namelist() if name.endswith(".npy")]
        tensors = {name.removeprefix("test_").removesuffix(".npy"): package.read(name) for name in names}
        return package.read(WEIGHTS), {name: np.load(io.BytesIO(content)) for name, content in tensors.items()}


def _description(pipeline: Pipeline, card: Card, files: Mapping[str, bytes]) -> dict[str, Any]:
    """The model's description."""

    def source(name: str) -> dict[str, str]:
        return {"source": name, "sha256": hashlib.sha256(files[name]).hexdigest()}

    space = ["z", "y", "x"][-pipeline.dimensions :]
    spacing = pipeline.facts.get("spacing") or [1.0] * pipeline.dimensions
    batch = {"type": "batch"}
    given = [{"min": 1, "step": 1}] * pipeline.dimensions
    same = [{"tensor_id": "image", "axis_id": axis} for axis in space]

    def axes(sizes: list[dict[str, Any]], channels: list[str]) -> list[dict[str, Any]]:
        channel = [{"type": "channel", "channel_names": channels}] if channels else []
        places = zip(space, sizes, spacing, strict=True)
        return [batch, *channel, *({"type": "space", "id": i, "size": n, "scale": s} for i, n, s in places)]

    def output(name: str) -> dict[str, Any]:
        names = [identifier(name) for name in pipeline.names] if name == "probabilities" else []
        kind: dict[str, Any] = {"type": "float32", "range": [0, 1]}
        if name == "labels":
            kind = {"type": "int32", "values": sorted(pipeline.values or ())}
        test = source(_tensor_file(name))
        return {
            "id": name,
            "description": _MEANINGS[name],
            "axes": axes(same, names),
            "data": kind,
            "test_tensor": test,
        }

    channels = [f"channel{c}" for c in range(pipeline.channels.used)]
    return {
        "format_version": FORMAT_VERSION,
        "type": "model",
        "name": card.name,
        "description": _summary(pipeline, card),
        "authors": [{"name": author} for author in card.authors],
        "cite": [{"text": _PAPER, "doi": "10.1007/978-3-319-24574-4_28"}],
        **({"license": card.licence} if card.licence else {}),
        "tags": ["unet", f"{pipeline.dimensions}d", f"{card.task}-segmentation", "tinyunet"],
        "covers": [COVER],
        "documentation": README,
        "inputs": [
            {
                "id": "image",
                "description": "raw pixel values; they are normalised inside the model",
                "axes": axes(given, channels),
                "data": {"type": "float32"},
                "test_tensor": source(_tensor_file("image")),
            }
        ],
        "outputs": [output(name) for name in pipeline.outputs],
        "weights": {"onnx": {**source(WEIGHTS), "opset_version": OPSET}},
    }


_PAPER = "Ronneberger, Fischer and Brox (2015), U-Net: Convolutional networks for biomedical image segmentation."

_MEANINGS = {
    "probabilities": "of every class",
    "labels": "the value of the most probable class",
    "foreground": "probability that a pixel belongs to an object",
    "core": "probability that a pixel lies inside an object, away from its rim",
}


def identifier(name: str) -> str:
    """A name that a program can use as its own.

    Example:
        >>> identifier("cell wall"), identifier("2nd"), identifier("class")
        ('cell_wall', '_2nd', 'class_')
    """
    plain = re.sub(r"\W", "_", name, flags=re.ASCII) or "_"
    plain = f"_{plain}" if plain[0].isdigit() else plain
    return f"{plain}_" if keyword.iskeyword(plain) else plain


def _tensor_file(name: str) -> str:
    return f"test_{name}.npy"


def _summary(pipeline: Pipeline, card: Card) -> str:
    kind = "images" if pipeline.dimensions == 2 else "volumes"
    return f"A U-Net for the {card.task} segmentation of {kind} of any size into {', '.join(pipeline.names)}."


def _readme(pipeline: Pipeline, card: Card) -> str:
    """What a person reads."""
    values = (
        ""
        if pipeline.values is None
        else "".join(f"| {name} | {value} |\n" for name, value in zip(pipeline.names, pipeline.values, strict=True))
    )
    table = f"| class | label |\n| --- | --- |\n{values}\n" if values else ""
    outputs = "".join(f"- `{name}`: {_MEANINGS[name]}\n" for name in pipeline.outputs)
    return (
        f"# {card.name}\n\n{_summary(pipeline, card)} Trained with tinyunet.\n\n"
        f"Input: raw pixel values; normalisation, padding and cropping are part of the model. Results:\n\n{outputs}\n"
        f"{table}## Validation\n\n"
        "Compare `labels` with masks that were not trained on, for example by the Dice score of each class: "
        "2 TP / (2 TP + FP + FN) over all pixels. The test tensors of this package tell only whether the model "
        "computes what it should.\n"
    )
