"""Which channels of images are used: worked out from all files of a data set together, and said out loud."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tinyunet.data.facts import ImageFacts
from tinyunet.data.normalise import ChannelRule
from tinyunet.data.readers import shown
from tinyunet.data.summary import used_channels


@dataclass(frozen=True)
class Findings:
    """What was found while something was worked out.

    Args:
        problems: What is wrong, one line each with the way out.
        notes: What was understood and decided, one line each.
    """

    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def decide_channels(images: Sequence[tuple[Path, ImageFacts]]) -> tuple[ChannelRule, Findings]:
    """Decide over all images which channels are used.

    An alpha channel (the last of 2 or 4) that is opaque in every image that has one is dropped; where red, green and
    blue are equal in every image that has them, one is kept. The number of channels that most images then have is the
    one that all must have.

    Args:
        images: The files and their facts.

    Returns:
        The rule (one channel where there is no image), and a problem for each image with other channels.
    """
    alphas = [image for _, image in images if image.channels in (2, 4)]
    drop_alpha = bool(alphas) and all(image.opaque for image in alphas)
    colours = [image for _, image in images if image.channels == 3 or (image.channels == 4 and drop_alpha)]
    collapse_grey = bool(colours) and all(image.grey for image in colours)
    rule = ChannelRule(drop_alpha=drop_alpha, collapse_grey=collapse_grey, used=1)
    kept = [used_channels(image.channels, rule) for _, image in images]
    used = Counter(kept).most_common(1)[0][0] if kept else 1
    notes: list[str] = []
    if drop_alpha:
        notes.append("The alpha channel is opaque in every image: it is dropped.")
    if collapse_grey:
        notes.append("Red, green and blue are equal in every image: one grey channel is used.")
    problems = [
        f"{shown(path)} must have {used} channel{'s' * (used > 1)} as most images have, got {count}. "
        "Convert it or remove it."
        for (path, _), count in zip(images, kept, strict=True)
        if count != used
    ]
    rule = ChannelRule(drop_alpha=drop_alpha, collapse_grey=collapse_grey and used == 1, used=used)
    return rule, Findings(tuple(problems), tuple(notes))
