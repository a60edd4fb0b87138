"""Data sets in the layout of nnU-Net: `imagesTr`, `labelsTr` and `dataset.json`, read as they are.

    dataset.json   imagesTr/cell_001_0000.png, cell_001_0001.png   labelsTr/cell_001.png   imagesTs   labelsTs

The four digits behind an image's name number its channels. `Tr` trains, `Ts` tests where it has labels.

References:
    Isensee et al. (2021), nnU-Net; the layout as in its documentation, "Dataset format".
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tinyunet.data.labelling import ClassInfo, default_colors
from tinyunet.data.readers import SUFFIXES, shown
from tinyunet.data.sample import Sample
from tinyunet.data.spec import DatasetSpec
from tinyunet.errors import DataError

_CHANNEL = re.compile(r"(.+)_(\d{4})")


def is_nnunet(root: Path) -> bool:
    """Whether a folder has nnU-Net's layout."""
    return (root / "imagesTr").is_dir() and (root / "dataset.json").is_file()


def scan_nnunet(root: Path) -> tuple[list[Sample], dict[str, str], DatasetSpec, list[str]]:
    """Find the samples of a data set in nnU-Net's layout.

    Args:
        root: The folder.

    Returns:
        Samples, the split by name, what the masks mean, and what is wrong with it.

    Raises:
        DataError: `dataset.json` cannot be read, or the images are of a kind that is not read.
    """
    file = root / "dataset.json"
    try:
        about = json.loads(file.read_text(encoding="utf-8-sig"))
        ending, labels = about["file_ending"], about["labels"]
        if not isinstance(labels, dict):
            raise ValueError("`labels` must give each class one number")
        channels = len(about.get("channel_names") or about["modality"])
        spec = _spec(labels)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(f"{shown(file)} is not what nnU-Net writes ({type(error).__name__}: {error}).") from None
    if ending not in SUFFIXES:
        raise DataError(f"{shown(file)}: files ending in {ending!r} are not read. Known: {', '.join(SUFFIXES)}.")
    samples: list[Sample] = []
    declared: dict[str, str] = {}
    problems: list[str] = []
    for part, use in (("Tr", "train"), ("Ts", "test")):
        masks = root / f"labels{part}"
        for name, files in sorted(_images(root / f"images{part}", ending, problems).items()):
            if sorted(files) != list(range(channels)):
                found = ", ".join(f"{k:04d}" for k in sorted(files))
                problems.append(f"{shown(files[min(files)])} must come as {channels} files _0000 …, got {found}.")
                continue
            mask = masks / f"{name}{ending}"
            first, *more = (files[k] for k in range(channels))
            if not mask.exists() and use == "train":
                problems.append(
                    f"{shown(first)} must have a mask {shown(mask)}, got none. Add it, or remove the image."
                )
                continue
            if name in declared:
                problems.append(f"{shown(first)} must have a name of its own, got that of a training image. Rename it.")
                continue
            samples.append(Sample(name, first, mask if mask.exists() else None, tuple(more)))
            declared[name] = use if mask.exists() else "unlabelled"
    samples.sort(key=lambda sample: sample.name)
    return samples, declared, spec, problems


def _images(folder: Path, ending: str, problems: list[str]) -> dict[str, dict[int, Path]]:
    """The files of each image by the number of the channel."""
    found: dict[str, dict[int, Path]] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.name.startswith(".") or not path.name.endswith(ending):
            continue
        match = _CHANNEL.fullmatch(path.name.removesuffix(ending))
        if match is None:
            problems.append(f"{shown(path)} must end in the number of its channel, such as _0000{ending}. Rename it.")
        else:
            found.setdefault(match[1], {})[int(match[2])] = path
    return found


def _spec(labels: Mapping[str, Any]) -> DatasetSpec:
    """The classes that `labels` names, in the order of their values."""
    ignore = labels.get("ignore")
    values = {name: value for name, value in labels.items() if name != "ignore"}
    if not all(type(value) is int for value in (*values.values(), 0 if ignore is None else ignore)):
        raise ValueError("`labels` must give each class one number; regions of several are not read")
    names = sorted(values, key=lambda name: values[name])
    colors = default_colors(len(names))
    classes = tuple(ClassInfo(name, values[name], color) for name, color in zip(names, colors, strict=True))
    return DatasetSpec(task="semantic", ignore=ignore, classes=classes)
