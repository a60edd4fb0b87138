"""The temperature of a training: fitted to its validation images, once its weights are chosen."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Integer

from tinyunet.evaluation.temperature import HIGHEST, LOWEST, fit_temperature
from tinyunet.runs.validate import Validator
from tinyunet.training.state import Variables

MOST_PIXELS = 200_000
"""So many pixels are looked at, in equal shares from each image: more would change the third digit of a temperature."""

FEWEST_PIXELS = 1000
"""With fewer labelled pixels no temperature is fitted."""


class Temperature(NamedTuple):
    """A temperature, and why it is not a fitted one.

    Attributes:
        value: What probabilities are scaled by; 1 changes nothing.
        note: Why none was fitted, or None.
    """

    value: float
    note: str | None = None


def calibrate(validator: Validator, variables: Variables, names: Sequence[str], *, seed: int) -> Temperature:
    """The temperature of a network, by a sample of the pixels of its validation images.

    The sample depends on the seed and the image's place alone, so that equal weights have equal temperatures.

    Args:
        validator: Knows the validation images.
        variables: The chosen weights.
        names: Of the classes.
        seed: Of the sample.
    """
    share = max(1, MOST_PIXELS // len(validator.store))
    parts = []
    for position, (probabilities, labels) in enumerate(validator.predictions(variables)):
        known = np.flatnonzero(labels >= 0)
        if len(known) > share:
            known = np.random.default_rng((seed, position)).choice(known, share, replace=False)
        parts.append((probabilities.reshape(-1, len(names))[known], labels.ravel()[known]))
    probabilities, labels = (np.concatenate(part) for part in zip(*parts, strict=True))
    return choose_temperature(probabilities, labels, names)


def choose_temperature(
    probabilities: Float[np.ndarray, "n k"], labels: Integer[np.ndarray, " n"], names: Sequence[str]
) -> Temperature:
    """The fitted temperature, to four digits, or 1 and a note where the pixels are not fit for it.

    Args:
        probabilities: Of single pixels.
        labels: Their true classes.
        names: Of the classes.

    Example:
        >>> choose_temperature(np.array([[0.9, 0.1]]), np.array([0]), ["background", "cell"]).note
        'Probabilities are not scaled: temperature scaling wants 1,000 labelled validation pixels, there are 1.'
    """
    kept = "Probabilities are not scaled:"
    if len(labels) < FEWEST_PIXELS:
        wanted = f"temperature scaling wants {FEWEST_PIXELS:,} labelled validation pixels"
        return Temperature(1.0, f"{kept} {wanted}, there are {len(labels):,}.")
    counts = np.bincount(labels, minlength=len(names))
    if absent := [repr(name) for name, count in zip(names, counts, strict=True) if not count]:
        return Temperature(1.0, f"{kept} the validation images hold no pixel of {', '.join(absent)}.")
    temperature = fit_temperature(probabilities, labels)
    if temperature == LOWEST:
        return Temperature(1.0, f"{kept} on the validation images no temperature above {LOWEST:g} is low enough.")
    if temperature == HIGHEST:
        return Temperature(1.0, f"{kept} on the validation images they are no better than chance.")
    return Temperature(float(f"{temperature:.4g}"))
