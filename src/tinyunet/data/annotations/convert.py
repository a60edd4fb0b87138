"""From another program's annotations to a data-set folder."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import tomli_w
from PIL import Image

from tinyunet.data.annotations.coco import read_coco
from tinyunet.data.annotations.labelme import read_labelme
from tinyunet.data.annotations.shapes import (
    IGNORED,
    LARGEST_ID,
    AnnotatedImage,
    Annotations,
    draw_classes,
    draw_objects,
)
from tinyunet.data.labelling import default_colors
from tinyunet.data.readers import read_header, shown, stem
from tinyunet.errors import ConfigError, DataError


def convert(
    source: Path,
    out: Path,
    *,
    images: Path | None = None,
    task: Literal["semantic", "instances"] | None = None,
    progress: Callable[[int, str], None] | None = None,
) -> tuple[str, ...]:
    """Turn COCO or LabelMe annotations into a data-set folder, whole or not at all.

    Args:
        source: A COCO file, or a folder of LabelMe files.
        out: The data set to make; images are copied there as they are.
        images: Where the images are; else beside the JSON, or for COCO in `images/` beside it.
        task: Masks of classes or of numbered objects; else objects where there is one class, and classes otherwise.
        progress: Called with the number of images done and the name of the last.

    Returns:
        What was found and made, one line each.

    Raises:
        DataError: Everything that is wrong with the annotations, one line each.
        ConfigError: `out` exists, or options that do not go together.
    """
    if out.exists():
        raise ConfigError(f"{out} exists; choose another --out.")
    found = _read(source, images)
    problems = [*found.problems, *_same_names(found)]
    if not found.images and not problems:
        problems.append(f"{shown(source)} holds no annotated image.")
    if problems:
        raise DataError(*problems)
    task = task or ("instances" if len(found.labels) == 1 else "semantic")
    out.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        for part in ("images", "masks"):
            (folder / part).mkdir()
        for done, image in enumerate(found.images, start=1):
            problems += _write(image, folder, task=task, labels=found.labels)
            if progress is not None:
                progress(done, image.path.name)
        if problems:
            raise DataError(*problems)
        (folder / "dataset.toml").write_text(_spec(found, task), encoding="utf-8")
        folder.chmod(0o755)
        folder.rename(out)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    shapes = sum(len(image.shapes) for image in found.images)
    classes = f"{len(found.labels)} {'class' if len(found.labels) == 1 else 'classes'}"
    made = f"{len(found.images)} images with {shapes} shapes of {classes} ({', '.join(found.labels)}): task {task}."
    return made, *found.notes


def _read(source: Path, images: Path | None) -> Annotations:
    if images is not None and not images.is_dir():
        raise DataError(f"There is no folder {shown(images)}; say with --images where the images are.")
    if source.is_dir():
        if not any(source.glob("*.json")):
            raise DataError(f"{shown(source)} holds no JSON files. Give the folder of LabelMe's files, or a COCO file.")
        return read_labelme(source, images or source)
    if not source.is_file():
        raise DataError(f"There is no file or folder {shown(source)}.")
    beside = source.parent / "images"
    return read_coco(source, images or (beside if beside.is_dir() else source.parent))


def _same_names(found: Annotations) -> list[str]:
    """Images from different folders that would get one name."""
    by_name: dict[str, list[Path]] = {}
    for image in found.images:
        by_name.setdefault(stem(image.path), []).append(image.path)
    return [
        f"{shown(paths[0])} and {shown(paths[1])} have one name; rename or leave out one of them."
        for paths in by_name.values()
        if len(paths) > 1
    ]


def _write(image: AnnotatedImage, folder: Path, *, task: str, labels: tuple[str, ...]) -> list[str]:
    """Copies an image and writes its mask; what is wrong with it."""
    try:
        header = read_header(image.path)
    except DataError as error:
        return list(error.problems)
    if len(header.shape) != 2:
        return [f"{shown(image.path)} is a volume; polygons are drawn on images of two axes."]
    size = header.shape[0], header.shape[1]
    if task == "instances" and len(image.shapes) > LARGEST_ID:
        return [f"{shown(image.path)} has {len(image.shapes)} shapes, more than the {LARGEST_ID} a mask can number."]
    odd = next((shape.runs.size for shape in image.shapes if shape.runs and shape.runs.size != size), None)
    if odd is not None:
        return [f"{shown(image.path)} is {size[0]} x {size[1]} pixels, a mask drawn for it {odd[0]} x {odd[1]}."]
    mask = draw_objects(image.shapes, size) if task == "instances" else draw_classes(image.shapes, size, labels=labels)
    shutil.copyfile(image.path, folder / "images" / image.path.name)
    few = task == "semantic" and len(labels) < 2**8
    picture = Image.fromarray(mask.astype(np.uint8) if few else mask)
    picture.save(folder / "masks" / f"{stem(image.path)}.png")
    return []


def _spec(found: Annotations, task: str) -> str:
    """`dataset.toml` of what was written."""
    if task == "instances":
        crowds = any(shape.crowd for image in found.images for shape in image.shapes)
        return tomli_w.dumps({"task": task, **({"ignore": IGNORED} if crowds else {})})
    names = ["background" if "background" not in found.labels else "nothing", *found.labels]
    colors = default_colors(len(names))
    classes = [{"name": name, "value": k, "color": colors[k]} for k, name in enumerate(names)]
    return tomli_w.dumps({"task": task, "classes": classes})
