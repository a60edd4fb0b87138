"""Classes from which nothing can be learnt, as they are too few, too small, or not where the training looks."""

from collections.abc import Sequence

from tinyunet.data.facts import SampleFacts
from tinyunet.data.fingerprint import Fingerprint
from tinyunet.data.folder import DataFolder
from tinyunet.data.labelling import BINARY_TASKS, ClassInfo, Labelling
from tinyunet.data.readers import shown


def class_problems(
    folder: DataFolder,
    facts: Sequence[SampleFacts],
    fingerprint: Fingerprint,
    labelling: Labelling,
    *,
    complete: bool = True,
) -> list[str]:
    """What is wrong with the classes, one line each.

    Args:
        folder: The data set.
        facts: Of every sample.
        fingerprint: Of all of them.
        labelling: What the masks mean.
        complete: All masks are among the facts; else a class that seems to be missing may be in another mask.
    """
    counts = fingerprint.class_pixels, fingerprint.train_class_pixels
    for pixels, which in zip(counts, ("masks", "training masks"), strict=True) if complete else ():
        present = [one for one, count in zip(labelling.classes, pixels, strict=True) if count]
        if len(present) == 1:
            return [
                f"{shown(folder.root)}: the {which} must hold at least 2 classes, got only {present[0].name} (value "
                f"{present[0].value}). Check how the masks were saved, and which images are for training."
            ]
    if labelling.task in BINARY_TASKS:
        return []
    found = []
    for one, everywhere, training in zip(labelling.classes, *counts, strict=True):
        if everywhere == 1:
            found.append(
                f"{_first(facts, one)} holds the only pixel of {_named(one)}, a slip of the pen: give it the value "
                f"around it, or set ignore = {one.value} in dataset.toml."
            )
        elif complete and everywhere and not training:
            found.append(
                f"{_first(facts, one)} holds {_named(one)}, which no training mask does, so that it cannot be learnt. "
                "Put an image of it into train, by split.csv."
            )
    return found


def _named(one: ClassInfo) -> str:
    """The class in words, once where its name is its value."""
    return one.name if one.name == f"class {one.value}" else f"the class {one.name} (value {one.value})"


def _first(facts: Sequence[SampleFacts], one: ClassInfo) -> str:
    """The first mask in which a class occurs."""
    paths = [fact.sample.mask for fact in facts if fact.mask is not None and one.value in fact.mask.counts]
    return next(shown(path) for path in paths if path is not None)
