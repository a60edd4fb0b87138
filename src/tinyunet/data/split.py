"""Who trains, who validates, who tests: the split of a data set, taken as declared or drawn from a seed."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tinyunet.data.folder import DataFolder
from tinyunet.data.readers import shown
from tinyunet.errors import DataError

_PERCENT = 15  # of the images, for each of val and test where they are not declared


@dataclass(frozen=True)
class Split:
    """The names of a data set's images, by what they are for.

    Args:
        train: Images the weights are fitted to.
        val: Images that choose among the weights; never empty after `resolve_split`.
        test: Images that nothing looks at before the evaluation.
        unlabelled: Images without a mask, which take no part in training.
        notes: What was decided and why, one line each.
    """

    train: tuple[str, ...]
    val: tuple[str, ...]
    test: tuple[str, ...]
    unlabelled: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=(), compare=False)

    def to_dict(self) -> dict[str, list[str]]:
        """The split as plain lists, ready for JSON or TOML.

        Example:
            >>> Split(train=("a",), val=("b",), test=()).to_dict()
            {'train': ['a'], 'val': ['b'], 'test': [], 'unlabelled': [], 'notes': []}
        """
        names = ("train", "val", "test", "unlabelled", "notes")
        return {name: list(getattr(self, name)) for name in names}

    @classmethod
    def from_dict(cls, table: Mapping[str, Any]) -> "Split":
        """The inverse of `to_dict`.

        Example:
            >>> Split.from_dict({"train": ["a"], "val": ["b"], "test": []}).val
            ('b',)
        """
        return cls(**{name: tuple(names) for name, names in table.items()})


def resolve_split(folder: DataFolder, *, seed: int) -> Split:
    """Decide which image serves which purpose.

    What `split.csv` or the sub-folders declare is kept. Where they declare no `val`, 15 % of train becomes val, at
    least one image. Where nothing is declared, the labelled images are drawn 70 % train, 15 % val and 15 % test; two
    images make train and val only. Images are drawn in the order of sha256(seed, name), so the draw depends on the
    names and the seed alone, and an image that is added later moves few of the others.

    Args:
        folder: The data set.
        seed: Seeds the draw; any integer.

    Returns:
        A split in which every image has exactly one place, each part sorted by name, train and val not empty.

    Raises:
        DataError: No image is for training, or one only and none to validate with.

    Example:
        >>> from pathlib import Path
        >>> from tinyunet.data.sample import Sample
        >>> pair = lambda name: Sample(name, Path("images", name + ".png"), Path("masks", name + ".png"))
        >>> split = resolve_split(DataFolder(Path(), (pair("a"), pair("b"))), seed=0)
        >>> len(split.train), len(split.val), len(split.test)
        (1, 1, 0)
    """
    labelled = [sample.name for sample in folder.samples if sample.mask is not None]
    unlabelled = [sample.name for sample in folder.samples if sample.mask is None]
    if folder.declared is None:
        return _draw(folder, labelled, unlabelled, seed=seed)
    said: dict[str, list[str]] = {"train": [], "val": [], "test": []}
    for name in labelled:
        said[folder.declared[name]].append(name)
    notes = ["The split is the declared one."]
    if not said["train"]:
        raise DataError(f"{shown(folder.root)}: at least one image must be declared train, got none. Declare some.")
    if not said["val"]:
        if len(said["train"]) == 1:
            raise DataError(
                f"{shown(folder.root)}: with one training image ({said['train'][0]}) there is none to validate with. "
                "Declare a second one as train or val."
            )
        ranked = draw_order(said["train"], seed=seed)
        said["val"] = ranked[: _share(len(ranked))]
        said["train"] = ranked[_share(len(ranked)) :]
        notes = [f"The split is the declared one; without a val: {len(said['val'])} of train validate (seed {seed})."]
    if not said["test"]:
        notes.append("No image is declared test: there is nothing to evaluate on.")
    return _split(said["train"], said["val"], said["test"], unlabelled, notes)


def _draw(folder: DataFolder, labelled: list[str], unlabelled: list[str], *, seed: int) -> Split:
    """The 70/15/15 split of a folder that declares none."""
    if len(labelled) < 2:
        raise DataError(
            f"{shown(folder.root)}: at least 2 images with masks are needed, one to train on and one to validate with, "
            f"got {len(labelled)}. Add more pairs."
        )
    ranked = draw_order(labelled, seed=seed)
    val = _share(len(ranked))
    test = val if len(ranked) > 2 else 0
    counts = f"{len(ranked) - val - test} train, {val} val, {test} test"
    notes = [f"No split is declared: drawn from seed {seed}, {counts}."]
    if not test:
        notes.append("Two images make train and val: there is nothing to evaluate on.")
    return _split(ranked[val + test :], ranked[:val], ranked[val : val + test], unlabelled, notes)


def _split(train: list[str], val: list[str], test: list[str], unlabelled: list[str], notes: list[str]) -> Split:
    places = [tuple(sorted(part)) for part in (train, val, test, unlabelled)]
    return Split(places[0], places[1], places[2], places[3], tuple(notes))


def _share(count: int) -> int:
    """15 % of `count`, rounded half up, at least one."""
    return max(1, (_PERCENT * count + 50) // 100)


def draw_order(names: Iterable[str], *, seed: int) -> list[str]:
    """The names in an order that depends on the seed and on each name alone, not on any generator's version."""
    return sorted(names, key=lambda name: (hashlib.sha256(f"{seed}/{name}".encode()).digest(), name))
