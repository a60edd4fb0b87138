"""The model in a static page: a folder that any host of files serves, and that computes in its visitors' browsers."""

import hashlib
import json
import shutil
from dataclasses import asdict, dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2

from tinyunet import __version__
from tinyunet.data.labelling import Labelling
from tinyunet.data.normalise import ChannelRule, Normalisation
from tinyunet.errors import ConfigError
from tinyunet.export.onnxfile import write_onnx
from tinyunet.export.pipeline import Pipeline
from tinyunet.export.webruntime import CDN, FILES, VERSION, WebRuntime, integrity
from tinyunet.layers.norm import LOCAL_NORMS
from tinyunet.models.sizes import Topology
from tinyunet.objects.target import ObjectConfig
from tinyunet.prediction.tiles import TileSpec

FORMAT = "tinyunet web page, version 1"
"""What `model.json` says it is: a folder that has it was made here."""

MODEL, ABOUT, RUNTIME = "model.onnx", "model.json", "onnxruntime"

MOST_PIXELS, MOST_PIXELS_OF_OBJECTS = 100_000_000, 25_000_000
"""What a page takes: some bytes for every pixel are held, and where objects are looked for some dozens."""

MOST_CLASSES, LARGEST_VALUE, MOST_CHANNELS = 255, 65535, 4


@dataclass(frozen=True, kw_only=True)
class Page:
    """What a page says of its model.

    Attributes:
        name: Its heading.
        labelling: The classes, and what masks hold for them.
        tiles: How images are cut, along height and width.
        objects: How objects are found; None where classes are.
        licence: Of the model, or empty.
    """

    name: str
    labelling: Labelling
    tiles: tuple[TileSpec, ...]
    objects: ObjectConfig | None = None
    licence: str = ""


def check_webpage(pipeline: Pipeline, labelling: Labelling) -> None:
    """Refuses what a page cannot hold.

    Raises:
        ConfigError: It names what.
    """
    refuse = "A page cannot hold this model: "
    if pipeline.dimensions != 2:
        raise ConfigError(f"{refuse}it was trained on volumes, and browsers read images. Take --format onnx.")
    if pipeline.model.norm not in LOCAL_NORMS:
        raise ConfigError(
            f"{refuse}it cuts images into tiles, which do not agree where model.norm = {pipeline.model.norm!r} looks "
            "at a whole tile. Take --format onnx, or train with model.norm=batch."
        )
    if pipeline.channels.used > MOST_CHANNELS:
        raise ConfigError(
            f"{refuse}it wants images of {pipeline.channels.used} channels, and those that browsers read have up to "
            f"{MOST_CHANNELS}. Take --format onnx."
        )
    if labelling.num_classes > MOST_CLASSES:
        raise ConfigError(
            f"{refuse}it has {labelling.num_classes} classes, and a page up to {MOST_CLASSES}. Take --format onnx."
        )
    odd = [info for info in labelling.classes if not 0 <= info.value <= LARGEST_VALUE]
    if odd and labelling.kind != "rgb":
        raise ConfigError(
            f"{refuse}masks of PNG hold values from 0 to {LARGEST_VALUE}, and class {odd[0].name!r} has "
            f"{odd[0].value}. Take --format onnx."
        )


def for_page(pipeline: Pipeline) -> Pipeline:
    """The pipeline as a page's model holds it.

    The page chooses the channels. It normalises too where an image is normalised by itself: the model sees tiles alone.
    """
    used = pipeline.channels.used
    pipeline = replace(pipeline, channels=ChannelRule(drop_alpha=False, collapse_grey=False, used=used))
    if pipeline.normalisation.kind == "dataset":
        return pipeline
    return replace(pipeline, normalisation=Normalisation("dataset", (0.0,) * used, (1.0,) * used))


def write_webpage(folder: Path, pipeline: Pipeline, page: Page, runtime: WebRuntime) -> None:
    """Writes the page's files.

    Args:
        folder: Empty.
        pipeline: All that lies between pixels and answer.
        page: What is said of it.
        runtime: Where onnxruntime-web comes from.

    Raises:
        ConfigError: The page cannot hold the model, or onnx is not installed.
    """
    check_webpage(pipeline, page.labelling)
    write_onnx(folder / MODEL, for_page(pipeline))
    about = _about(pipeline, page, (folder / MODEL).read_bytes(), away=not runtime.contents)
    (folder / ABOUT).write_text(json.dumps(about, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    with resources.as_file(resources.files("tinyunet.export") / "site") as site:
        shutil.copytree(site, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.j2"))
        _render(folder, site, page, away=not runtime.contents)
    if runtime.contents:
        (folder / RUNTIME).mkdir()
    for name, content in runtime.contents.items():
        (folder / RUNTIME / name).write_bytes(content)


def is_webpage(folder: Path) -> bool:
    """Whether a folder was written by `write_webpage`."""
    try:
        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(about, dict) and str(about.get("format", "")).startswith(FORMAT.split(",")[0])


def policy(*, away: bool) -> str:
    """What the page may load and reach, as its header says to the browser: itself, and where it must the public host.

    Args:
        away: Whether onnxruntime-web comes from there. Then its script is run from what was fetched and checked.

    Example:
        >>> "; connect-src 'self'; " in policy(away=False)
        True
    """
    host = CDN.split("/npm/")[0]
    parts = {
        "default-src": "'none'",
        "script-src": "'self' 'wasm-unsafe-eval'" + " blob:" * away,
        "worker-src": "'self' blob:",
        "connect-src": "'self'" + f" {host}" * away,
        "style-src": "'self'",
        "img-src": "'self' data: blob:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in parts.items())


def _about(pipeline: Pipeline, page: Page, model: bytes, *, away: bool) -> dict[str, Any]:
    """What `model.json` says."""
    rows, columns = zip(pipeline.topologies, page.tiles, strict=True)
    return {
        "format": FORMAT,
        "name": page.name,
        "licence": page.licence or None,
        "version": __version__,
        "task": page.labelling.task,
        "kind": page.labelling.kind,
        "classes": [asdict(info) for info in page.labelling.classes],
        "label_values": None if pipeline.values is None else list(pipeline.values),
        "channels": asdict(pipeline.channels),
        "normalisation": pipeline.normalisation.kind,
        "tiles": {"height": _tiles(*rows), "width": _tiles(*columns)},
        "objects": None if page.objects is None else asdict(page.objects),
        "most_pixels": MOST_PIXELS if page.objects is None else MOST_PIXELS_OF_OBJECTS,
        "model": {
            "file": MODEL,
            "bytes": len(model),
            "sha256": hashlib.sha256(model).hexdigest(),
            "integrity": integrity(model, "sha256"),
        },
        "runtime": {"version": VERSION, "base": CDN if away else f"{RUNTIME}/", "files": dict(FILES)},
    }


def _tiles(topology: Topology, spec: TileSpec) -> dict[str, Any]:
    """How an axis is cut, and how far a pixel of the result looks."""
    margin = max(spec.halo, topology.receptive_radius())
    return {
        "ladder": list(spec.ladder),
        "halo": spec.halo,
        "lost": spec.lost,
        "multiple": spec.multiple,
        "margin": margin,
    }


def _render(folder: Path, site: Path, page: Page, *, away: bool) -> None:
    """What says the model's name."""
    words = {
        "name": page.name,
        "does": _does(page.labelling),
        "licence": page.licence,
        "version": __version__,
        "runtime": VERSION,
        "policy": policy(away=away),
        "away": CDN.split("/npm/")[0] if away else "",
    }
    for template in sorted(site.glob("*.j2")):
        environment = jinja2.Environment(autoescape=".html" in template.name, keep_trailing_newline=True)
        text = environment.from_string(template.read_text(encoding="utf-8")).render(words)
        (folder / template.stem).write_text(text, encoding="utf-8")


def _does(labelling: Labelling) -> str:
    """What the model does, after the words "This page"."""
    if labelling.task == "instances":
        return "finds the objects in an image and numbers them"
    most, names = 6, labelling.names
    shown = [*names[:most], f"one of {len(names) - most} other classes"] if len(names) > most else [*names]
    return (
        f"labels each pixel of an image as {' or '.join([*([', '.join(shown[:-1])] if shown[:-1] else []), shown[-1]])}"
    )
