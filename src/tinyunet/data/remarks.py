"""What is worth knowing about a data set but no reason to stop: one sentence each."""

from collections.abc import Sequence
from pathlib import Path

from tinyunet.data.alignment import strangers
from tinyunet.data.facts import SampleFacts
from tinyunet.data.fingerprint import Fingerprint
from tinyunet.data.labelling import Labelling
from tinyunet.data.likeness import lookalikes
from tinyunet.data.readers import shown
from tinyunet.data.sample import Sample
from tinyunet.data.split import Split

SMALL_PX = 16
"""A shorter side than this is worth a remark."""

_SCORED = ("val", "test")


def remarks(
    facts: Sequence[SampleFacts], split: Split, fingerprint: Fingerprint, labelling: Labelling
) -> tuple[str, ...]:
    """All that is worth knowing.

    Args:
        facts: Of every sample.
        split: Which image serves which purpose.
        fingerprint: Of all of them.
        labelling: What the masks mean.
    """
    return (*_images(facts, fingerprint), *_twins(facts, split), *_classes(fingerprint, labelling), *_masks(facts))


def _count(found: Sequence[object], one: str, many: str) -> str:
    """How many there are, with the words for one or for many."""
    return f"{len(found)} {one if len(found) == 1 else many}"


def _named(paths: Sequence[Path], one: str, many: str) -> str:
    """The same, with the first of them."""
    return f"{_count(paths, one, many)}, the first {shown(paths[0])}"


def _images(facts: Sequence[SampleFacts], fingerprint: Fingerprint) -> list[str]:
    found = []
    images = [(one.sample.image, one.image) for one in facts if one.image is not None]
    constant = [path for path, image in images if image.low == image.high]
    if constant:
        said = _named(constant, "image is constant", "images are constant")
        found.append(f"{said}: nothing can be learnt there.")
    small = [path for path, image in images if min(image.size[-2:]) < SMALL_PX]
    if small:
        short = f"shorter than {SMALL_PX} pixels along a side"
        found.append(_named(small, f"image is {short}", f"images are {short}") + ".")
    if len(fingerprint.dtypes) > 1:
        counted = ", ".join(f"{dtype} ({count})" for dtype, count in fingerprint.dtypes.items())
        found.append(f"Images are stored in different types: {counted}. Their values may not be comparable.")
    return found


def _twins(facts: Sequence[SampleFacts], split: Split) -> list[str]:
    """Images that show the same: a waste within the training, and a flattering score across the split."""
    part = {name: which for which in ("train", *_SCORED, "unlabelled") for name in getattr(split, which)}
    within: list[tuple[Sample, Sample]] = []
    across: list[tuple[Sample, Sample]] = []
    for first, second in lookalikes([one.sketch for one in facts]):
        one, other = facts[first].sample, facts[second].sample
        parts = {part.get(one.name), part.get(other.name)}
        (across if len(parts) > 1 and parts & {*_SCORED} else within).append((one, other))
    found = []
    if across:
        one, other = across[0]
        found.append(
            f"{_count(across, 'pair', 'pairs')} of images that look the same on two sides of the split, the first "
            f"{shown(one.image)} ({part.get(one.name)}) and {shown(other.image)} ({part.get(other.name)}): the scores "
            "will flatter. Put both of a pair on one side, by split.csv."
        )
    if within:
        one, other = within[0]
        found.append(
            f"{_count(within, 'pair', 'pairs')} of images that look the same, the first {shown(one.image)} and "
            f"{shown(other.image)}: "
            "the second of a pair teaches little."
        )
    return found


def _classes(fingerprint: Fingerprint, labelling: Labelling) -> list[str]:
    found = []
    if sum(count > 0 for count in fingerprint.train_class_pixels) > 1:
        for one, count in zip(labelling.classes, fingerprint.train_class_pixels, strict=True):
            if not count:
                found.append(f"The class {one.name} does not occur in the training masks: it cannot be learnt.")
            elif count < SMALL_PX:
                found.append(
                    f"The class {one.name} has only {count} pixels in the training masks: too few to learn from."
                )
    values = [one.value for one in labelling.classes]
    whole = labelling.task == "semantic" and labelling.kind == "ids" and min(values) == 0 and max(values) < 64
    if whole and len(values) > 2 and (missing := sorted({*range(max(values))} - {*values})):
        listed = ", ".join(map(str, missing[:8])) + (" …" if len(missing) > 8 else "")
        found.append(f"The masks' values have gaps ({listed} do not occur): was a class lost when they were saved?")
    return found


def _masks(facts: Sequence[SampleFacts]) -> list[str]:
    found = []
    masks = [(one.sample.mask, one.mask) for one in facts if one.mask is not None and one.sample.mask is not None]
    empty = [path for path, mask in masks if len(mask.counts) == 1 and not mask.rest]
    if empty:
        said = _named(empty, "mask holds one value only", "masks hold one value only")
        found.append(f"{said}: is nothing there to mark?")
    aligned = [(one.sample.mask, one.alignment) for one in facts if one.alignment is not None and one.sample.mask]
    shifted = [(path, alignment.shift) for path, alignment in aligned if alignment.shifted]
    if shifted:
        down, right = shifted[0][1]
        paths, against = [path for path, _ in shifted], "shifted against the image"
        said = _named(paths, f"mask looks {against}", f"masks look {against}")
        found.append(f"{said} by about {down} pixels down and {right} to the right.")
    moved = {path for path, _ in shifted}
    odd = strangers([alignment.here for _, alignment in aligned])
    foreign = [path for path, _ in (aligned[i] for i in odd) if path not in moved and path not in empty]
    if foreign:
        little = "little to do with the image, unlike the others"
        said = _named(foreign, f"mask has {little}", f"masks have {little}")
        found.append(f"{said}: does it belong to another image?")
    return found
