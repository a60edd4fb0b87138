"""What is worth knowing about a data set but no reason to stop: one sentence each."""

from collections.abc import Sequence
from pathlib import Path

from tinyunet.data.alignment import moved, strangers
from tinyunet.data.facts import SampleFacts
from tinyunet.data.fingerprint import Fingerprint
from tinyunet.data.labelling import Labelling
from tinyunet.data.likeness import MOST, lookalikes
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
    return (*_images(facts), *_twins(facts, split), *_classes(facts, fingerprint, labelling), *_masks(facts))


def _count(found: Sequence[object], one: str, many: str) -> str:
    """How many there are, with the words for one or for many."""
    return f"{len(found)} {one if len(found) == 1 else many}"


def _named(paths: Sequence[Path], one: str, many: str) -> str:
    """The same, with the first of them."""
    return f"{_count(paths, one, many)}, the first {shown(paths[0])}"


def _directions(down: int, right: int) -> str:
    """A shift in words: "7 pixels down and 6 to the left"."""
    vertical, horizontal = "down" if down > 0 else "up", "right" if right > 0 else "left"
    if not down or not right:
        return f"{abs(down)} pixels {vertical}" if down else f"{abs(right)} pixels to the {horizontal}"
    return f"{abs(down)} pixels {vertical} and {abs(right)} to the {horizontal}"


def _images(facts: Sequence[SampleFacts]) -> list[str]:
    found = []
    images = [(one.sample.image, one.image) for one in facts if one.image is not None]
    constant = [path for path, image in images if image.low == image.high]
    if constant:
        said = _named(constant, "image is constant", "images are constant")
        found.append(f"{said}: nothing can be learnt there. Export it again, or remove it.")
    small = [path for path, image in images if min(image.size[-2:]) < SMALL_PX]
    if small:
        short = f"shorter than {SMALL_PX} pixels along a side"
        found.append(_named(small, f"image is {short}", f"images are {short}") + ".")
    return found


def remarks_on_types(fingerprint: Fingerprint) -> tuple[str, ...]:
    """What is worth knowing where all images are normalised by the same numbers: they may differ in scale.

    Args:
        fingerprint: Of the data set.
    """
    if len(fingerprint.dtypes) < 2:
        return ()
    counted = ", ".join(f"{dtype} ({count})" for dtype, count in fingerprint.dtypes.items())
    return (
        f"Images are stored in different types: {counted}. Their values may not be comparable: set "
        'data.normalise = "image", or store them alike.',
    )


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
    if len(within) + len(across) >= MOST:
        found.append(f"More than {MOST} pairs of images look the same; the search ended there.")
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
            "the second of a pair teaches little. Remove it."
        )
    return found


def _classes(facts: Sequence[SampleFacts], fingerprint: Fingerprint, labelling: Labelling) -> list[str]:
    found = []
    if sum(count > 0 for count in fingerprint.train_class_pixels) > 1:
        counts = fingerprint.class_pixels, fingerprint.train_class_pixels
        for one, everywhere, count in zip(labelling.classes, *counts, strict=True):
            if not everywhere:
                found.append(
                    f"The class {one.name} does not occur in any mask: it cannot be learnt. Add an image of it, or "
                    "remove it from dataset.toml."
                )
            elif everywhere > 1 and 0 < count < SMALL_PX:  # else it is a problem
                found.append(
                    f"The class {one.name} has only {count} pixels in the training masks: too few to learn from. "
                    "Add images of it."
                )
    values = [one.value for one in labelling.classes]
    whole = labelling.task == "semantic" and labelling.kind == "ids" and min(values) == 0 and max(values) < 64
    if whole and len(values) > 2 and (missing := sorted({*range(max(values))} - {*values})):
        paths = [one.sample.mask for one in facts if one.mask is not None and max(values) in one.mask.counts]
        path = next((path for path in paths if path is not None), Path("masks"))  # a declared value may not occur
        listed = ", ".join(map(str, missing[:8])) + (" …" if len(missing) > 8 else "")
        found.append(
            f"{shown(path)} holds the value {max(values)}, but no mask holds {listed}: was a class lost when they were "
            "saved? If so, save them again."
        )
    return found


def _masks(facts: Sequence[SampleFacts]) -> list[str]:
    found = []
    masks = [(one.sample.mask, one.mask) for one in facts if one.mask is not None and one.sample.mask is not None]
    empty = [path for path, mask in masks if len(mask.counts) == 1 and not mask.rest]
    if empty:
        said = _named(empty, "mask holds one value only", "masks hold one value only")
        found.append(f"{said}: is nothing there to mark? If there is, draw it again.")
    aligned = [(one.sample.mask, one.alignment) for one in facts if one.alignment is not None and one.sample.mask]
    shifted = [(aligned[i][0], aligned[i][1].shift) for i in moved([alignment for _, alignment in aligned])]
    if shifted:
        where = _directions(*shifted[0][1])
        paths, against = [path for path, _ in shifted], "shifted against the image"
        said = _named(paths, f"mask looks {against}", f"masks look {against}")
        found.append(f"{said} by about {where}: save it with its image again, or move it back.")
    known = {path for path, _ in shifted} | set(empty)
    known |= {one.sample.mask for one in facts if one.sample.mask and one.sketch is None}  # of a constant image
    odd = strangers([alignment.here for _, alignment in aligned])
    foreign = [path for path, _ in (aligned[i] for i in odd) if path not in known]
    if foreign:
        little = "little to do with the image, unlike the others"
        if len(foreign) == 2:
            both = " and ".join(shown(path) for path in foreign)
            found.append(f"2 masks have {little}, {both}: were they swapped? Pair each with its image.")
        else:
            said = _named(foreign, f"mask has {little}", f"masks have {little}")
            found.append(f"{said}: does it belong to another image? Pair it with that one.")
    return found
