"""From the facts of single files to the fingerprint of their data set."""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool

from tinyunet.data.facts import ImageFacts, MaskFacts, SampleFacts
from tinyunet.data.fingerprint import Fingerprint
from tinyunet.data.foreground import Intensities, PixelSample, intensities
from tinyunet.data.labelling import BINARY_TASKS, Labelling
from tinyunet.data.normalise import ChannelRule
from tinyunet.data.objectsizes import ObjectSizes, object_sizes


def summarise(
    facts: Sequence[SampleFacts], *, channels: ChannelRule, labelling: Labelling, train: Iterable[str]
) -> Fingerprint:
    """Merge the facts of single files into those of the data set.

    The mean and the variance over all pixels follow from those of the images, n_i pixels each:

        mean = Σ n_i mean_i / Σ n_i,    variance = Σ n_i (variance_i + (mean_i - mean)²) / Σ n_i

    Args:
        facts: Of every sample, in the order of their names (the digest sorts them itself).
        channels: How stored channels become the ones that are used; images it does not fit are left out.
        labelling: What the masks mean; values it does not know are left out.
        train: Names of the training images.

    References:
        Chan, Golub, LeVeque (1983), Algorithms for computing the sample variance, eq. 2.1.
    """
    images = [(one.sample.name, one.image) for one in facts if one.image is not None]
    masks = [(one.sample.name, one.mask) for one in facts if one.mask is not None]
    training = set(train)
    labelled = {name for name, _ in masks}
    low, high, mean, std = _channel_numbers(
        [image for name, image in images if name in training & labelled], channels=channels
    )
    classes = {name: class_counts(mask, labelling) for name, mask in masks}
    values = Counter[int]()
    for _, mask in masks:
        values.update(mask.counts)
    readable = {name for name, _ in images}
    train_pixels = _summed((classes[name] for name in classes if name in training), len(labelling.classes))
    background = int(np.argmax(train_pixels))
    return Fingerprint(
        images=len(images),
        labelled=sum(name in labelled for name, _ in images),
        sizes=_counted(image.size for _, image in images),
        spacings=_counted(tuple(float(f"{x:.4g}") for x in image.spacing) for _, image in images),
        oriented=sum(image.oriented for _, image in images),
        median_size=_percentile([image.size for _, image in images], 50),
        median_spacing=_percentile([image.spacing for _, image in images if image.spacing], 50),
        finest_spacing=_percentile([image.spacing for _, image in images if image.spacing], 10),
        median_extent=_percentile(
            [
                tuple(n * d for n, d in zip(image.size, image.spacing, strict=True))
                for _, image in images
                if image.spacing
            ],
            50,
        ),
        dtypes=_counted(image.dtype for _, image in images),
        stored_channels=_counted(image.channels for _, image in images),
        channels=channels,
        channel_min=low,
        channel_max=high,
        channel_mean=mean,
        channel_std=std,
        mask_values=dict(sorted(values.items())),
        class_pixels=_summed(classes.values(), len(labelling.classes)),
        train_class_pixels=train_pixels,
        ignored_pixels=sum(mask.counts.get(labelling.ignore, 0) for _, mask in masks if labelling.ignore is not None),
        absent=tuple(
            tuple(name for name, counts in classes.items() if not counts[k] and name in readable)
            for k in range(len(labelling.classes))
        ),
        digest=_digest(facts),
        foreground=_foreground([one for one in facts if one.sample.name in training], channels, labelling, background),
        objects=_objects([mask for _, mask in masks], labelling),
    )


def class_counts(mask: MaskFacts, labelling: Labelling) -> tuple[int, ...]:
    """Pixels of each class in one mask; values that are no class count nowhere."""
    if labelling.task in BINARY_TASKS:
        positive = sum(count for value, count in mask.counts.items() if value > 0 and value != labelling.ignore)
        return mask.counts.get(0, 0) * (labelling.ignore != 0), positive + mask.rest
    return tuple(mask.counts.get(one.value, 0) for one in labelling.classes)


def used_channels(stored: int, rule: ChannelRule) -> int:
    """How many of an image's stored channels are left once alpha is dropped and grey collapsed.

    Example:
        >>> used_channels(4, ChannelRule(drop_alpha=True, collapse_grey=True, used=1))
        1
    """
    kept = stored - 1 if rule.drop_alpha and stored in (2, 4) else stored
    return 1 if rule.collapse_grey and kept == 3 else kept


def _channel_numbers(images: Sequence[ImageFacts], *, channels: ChannelRule) -> tuple[tuple[float, ...], ...]:
    """Minimum, maximum, mean and standard deviation of each used channel over all pixels of the images."""
    fitting = [image for image in images if used_channels(image.channels, channels) == channels.used]
    if not fitting:
        return (), (), (), ()
    total = sum(image.pixels for image in fitting)
    used = range(channels.used)
    mean = [math.fsum(image.pixels * image.mean[c] for image in fitting) / total for c in used]
    variance = [
        math.fsum(image.pixels * (image.variance[c] + (image.mean[c] - mean[c]) ** 2) for image in fitting) / total
        for c in used
    ]
    return (
        tuple(min(image.low[c] for image in fitting) for c in used),
        tuple(max(image.high[c] for image in fitting) for c in used),
        tuple(mean),
        tuple(math.sqrt(value) for value in variance),
    )


def _foreground(
    facts: Sequence[SampleFacts], channels: ChannelRule, labelling: Labelling, background: int
) -> Intensities | None:
    """The values of the drawn pixels that are of another class than the one at `background`."""
    drawn = []
    for one in facts:
        fits = one.image is not None and used_channels(one.image.channels, channels) == channels.used
        # a mask of another kind than the others holds the same classes as other values
        alike = one.mask is not None and (one.mask.kind == "rgb") == (labelling.kind == "rgb")
        if fits and alike and one.drawn is not None:
            drawn.append((one.drawn, _marked(one.drawn, labelling, background)))
    return intensities(drawn, used=channels.used)


def _marked(drawn: PixelSample, labelling: Labelling, background: int) -> Bool[np.ndarray, " n"]:
    """Which of the drawn pixels are of a class other than the one at `background`."""
    values = drawn.values
    if labelling.task in BINARY_TASKS:
        known = values > 0 if background == 0 else values == 0
    else:
        known = np.isin(values, [one.value for k, one in enumerate(labelling.classes) if k != background])
    return known if labelling.ignore is None else known & (values != labelling.ignore)


def _objects(masks: Sequence[MaskFacts], labelling: Labelling) -> ObjectSizes | None:
    """Numbers and sizes of the objects, where the masks number them."""
    if labelling.task != "instances" or not masks:
        return None
    known = [
        ([count for value, count in mask.counts.items() if value > 0 and value != labelling.ignore], mask.rest_values)
        for mask in masks
    ]
    return object_sizes(known, dimensions=max(len(mask.size) for mask in masks))


def _digest(facts: Iterable[SampleFacts]) -> str:
    """The digests of all files as one; JSON keeps apart where one name ends and the next begins."""
    names_and_digests = sorted((one.sample.name, *one.digests) for one in facts)
    return hashlib.sha256(json.dumps(names_and_digests).encode()).hexdigest()


def _percentile(rows: Sequence[tuple[float, ...]], percent: float) -> tuple[float, ...]:
    """A percentile of each column, as a value that occurs; () of no rows."""
    if not rows:
        return ()
    return tuple(float(x) for x in np.percentile(np.array(rows), percent, axis=0, method="nearest"))


def _counted(things: Iterable[Any]) -> dict[Any, int]:
    return dict(sorted(Counter(things).items()))


def _summed(rows: Iterable[tuple[int, ...]], width: int) -> tuple[int, ...]:
    return tuple(sum(column) for column in zip((0,) * width, *rows, strict=True))
