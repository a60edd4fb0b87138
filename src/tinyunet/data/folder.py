"""A data set is a folder: which image belongs to which mask, found by name without opening a single one."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from tinyunet.data.nnunet import is_nnunet, scan_nnunet
from tinyunet.data.readers import SUFFIXES, shown, stem, suffix
from tinyunet.data.sample import Sample
from tinyunet.data.spec import DatasetSpec, read_spec
from tinyunet.data.splitfile import read_split_file
from tinyunet.errors import DataError

_PARTS = ("train", "val", "test")
_SYSTEM_FILES = ("thumbs.db", "desktop.ini", "@eadir", "__macosx")  # what operating systems leave behind


@dataclass(frozen=True)
class DataFolder:
    """A data set as its names tell it.

    Args:
        root: The folder.
        samples: The images, sorted by name.
        declared: The split the user declared, name to train, val, test or unlabelled; None where there is none.
        spec: What `dataset.toml` says.
    """

    root: Path
    samples: tuple[Sample, ...]
    declared: dict[str, str] | None = None
    spec: DatasetSpec = field(default_factory=DatasetSpec)


def open_folder(path: Path | str, *, minimum_pairs: int = 2) -> DataFolder:
    """Find the images and masks of a data set.

    Three layouts are read: `images/` and `masks/` with equal stems (and an optional `split.csv`); `train/`, `val/` and
    `test/`, each with `images/` and `masks/`; and that of nnU-Net, see `tinyunet.data.nnunet`. Hidden files and those
    that operating systems leave are ignored.

    Args:
        path: The folder.
        minimum_pairs: How many images with masks there must be. Training needs 2, an evaluation 1, a prediction 0.

    Returns:
        The data set; every sample has a mask unless it is declared `unlabelled`.

    Raises:
        DataError: Everything that is wrong with the folder, one line each.
        ConfigError: `dataset.toml` cannot be used.

    Example:
        >>> open_folder("no such folder")
        Traceback (most recent call last):
        ...
        tinyunet.errors.DataError: no such folder must be a folder with images/ and masks/, got nothing there. ...
    """
    folder, problems = scan_folder(path, minimum_pairs=minimum_pairs)
    if problems:
        raise DataError(*problems)
    return folder


def scan_folder(path: Path | str, *, minimum_pairs: int = 2) -> tuple[DataFolder, list[str]]:
    """Like `open_folder`, but goes on with what is usable and returns the problems instead of raising them.

    Args:
        path: The folder.
        minimum_pairs: How many images with masks there must be.

    Returns:
        The data set without the files that have a problem, and the problems.

    Raises:
        DataError: There is no folder, or no `images/` in it: nothing to go on with.
        ConfigError: `dataset.toml` cannot be used.
    """
    root = Path(path)
    if is_nnunet(root):
        found_samples, division, meaning, flaws = scan_nnunet(root)
        return DataFolder(root, tuple(found_samples), division, meaning), flaws + _too_few(
            root, found_samples, minimum_pairs
        )
    parts = _layout(root)
    spec = read_spec(root / "dataset.toml")
    problems: list[str] = []
    found = [(part, *_scan_part(root / part, problems)) for part in parts]
    clashing = _twice(name for _, images, _ in found for name in images)
    split_file = root / "split.csv"
    declared: dict[str, str] | None = None
    if parts != ("",):
        declared = {}
        if split_file.exists():
            problems.append(f"{shown(split_file)} must not stand beside {parts[0]}/, which says the split. Remove one.")
    elif split_file.exists():
        declared, more = read_split_file(split_file, found[0][1])
        problems += more
    samples: list[Sample] = []
    for part, images, masks in found:
        unlabelled = {name for name in images if declared and declared.get(name) == "unlabelled"}
        problems += _unpaired(root / part, images, masks, unlabelled, mention_split=not part)
        for name in sorted(images):
            if name in unlabelled or name in masks:
                unique = f"{part}-{name}" if name in clashing else name
                mask = None if name in unlabelled else masks[name]
                samples.append(Sample(unique, images[name], mask, axes=spec.axes or "", spacing=spec.spacing or ()))
                if declared is not None:  # an image that split.csv forgot is a problem already; train lets us go on
                    declared.setdefault(unique, part or "train")
    problems += _too_few(root, samples, minimum_pairs)
    problems += [
        f"{shown(root)}: the name {name!r} must be that of one image, got several. Rename all but one."
        for name in sorted(_twice(sample.name for sample in samples))
    ]
    samples.sort(key=lambda sample: sample.name)
    if declared is not None:
        declared = {sample.name: declared[sample.name] for sample in samples}
    return DataFolder(root, tuple(samples), declared, spec), problems


def _too_few(root: Path, samples: list[Sample], minimum_pairs: int) -> list[str]:
    """The problem that there are fewer pairs than are needed."""
    pairs = sum(sample.mask is not None for sample in samples)
    if pairs >= minimum_pairs:
        return []
    return [
        f"{shown(root)} must hold at least {minimum_pairs} images with masks of the same stem, got {pairs}. "
        "Give each image images/NAME.png its mask masks/NAME.png."
    ]


def _layout(root: Path) -> tuple[str, ...]:
    """The sub-folders that hold images/: ("",) for the root itself, or those of train, val and test."""
    if not root.is_dir():
        got = "a file" if root.exists() else "nothing there"
        raise DataError(f"{shown(root)} must be a folder with images/ and masks/, got {got}. Give the folder's path.")
    parts = tuple(part for part in _PARTS if (root / part / "images").is_dir())
    flat = (root / "images").is_dir()
    if flat and parts:
        raise DataError(f"{shown(root)} must hold images/ or {parts[0]}/images/, got both. Move one of them away.")
    if not flat and not parts:
        inside = sorted(entry.name + "/" for entry in root.iterdir() if entry.is_dir() and not _is_system(entry))
        raise DataError(
            f"{shown(root)} must hold images/ and masks/ (or train/, val/ and test/ with both in each), "
            f"got {', '.join(inside) or 'no folders'}. Move the images to {shown(root / 'images')} and the masks to "
            f"{shown(root / 'masks')}."
        )
    return ("",) if flat else parts


def _scan_part(folder: Path, problems: list[str]) -> tuple[dict[str, Path], dict[str, Path]]:
    """The images and the masks of one folder by stem."""
    masks = folder / "masks"
    return _files(folder / "images", problems), _files(masks, problems) if masks.is_dir() else {}


def _files(folder: Path, problems: list[str]) -> dict[str, Path]:
    """The files of a folder by stem, in the order of their names; what cannot be one of ours is a problem."""
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir(), key=lambda path: path.name):
        if _is_system(path):
            continue
        name = shown(path)
        if path.is_dir() and suffix(path) != ".zarr":
            problems.append(f"{name} must be a file, got a folder. Move its files to {shown(folder)}, or it away.")
        elif suffix(path) not in SUFFIXES:
            known = ", ".join(SUFFIXES)
            problems.append(f"{name} must have one of the suffixes {known}, got {path.suffix!r}. Convert or remove it.")
        elif stem(path) in found:
            other = found[stem(path)].name
            problems.append(
                f"{name} must have a stem of its own, got that of {other}. Rename or remove one of the two."
            )
        else:
            found[stem(path)] = path
    return found


def _is_system(path: Path) -> bool:
    return path.name.startswith(".") or path.name.lower() in _SYSTEM_FILES


def _unpaired(
    folder: Path, images: dict[str, Path], masks: dict[str, Path], unlabelled: set[str], *, mention_split: bool
) -> list[str]:
    """One line for each image without a mask and each mask without an image."""
    if not masks and not (folder / "masks").is_dir() and len(unlabelled) < len(images):
        return [f"{shown(folder / 'masks')} must hold a mask for each image, got no such folder. Add the masks."]
    bare = [name for name in images if name not in masks and name not in unlabelled]
    lost = [name for name in masks if name not in images]
    if affixes := _common_affixes(bare, lost):
        example = f"{masks[min(lost)].name} for {images[min(bare)].name}"
        return [
            f"{shown(folder / 'masks')}: a mask must have the stem of its image, got {' and '.join(affixes)} added "
            f"to it in {len(lost)} files ({example}). Rename the masks."
        ]
    declare = ", or give it the line '{name},unlabelled' in split.csv" if mention_split else ", or move the image away"
    problems = [
        f"{shown(images[name])} must have a mask of the same stem in {shown(folder / 'masks')}, got none. "
        f"Add it{declare.format(name=name)}."
        for name in bare
    ]
    return problems + [
        f"{shown(masks[name])} must have an image of the same stem in {shown(folder / 'images')}, got none. "
        "Add the image or remove the mask."
        for name in lost
    ]


def _common_affixes(images: list[str], masks: list[str]) -> list[str]:
    """What stands before and behind the image's stem in every mask's stem, if that is what keeps them apart."""
    if not images or len(images) != len(masks):
        return []
    before, found, behind = min(masks).partition(min(images))
    same = found and {before + name + behind for name in images} == set(masks)
    return [repr(affix) for affix in (before, behind) if affix] if same else []


def _twice(names: Iterable[str]) -> set[str]:
    return {name for name, count in Counter(names).items() if count > 1}
