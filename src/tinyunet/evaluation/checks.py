"""What every score asks of its arguments: one shape, class ids that exist, probabilities that are some."""

import numpy as np
from jaxtyping import Bool, Float, Integer, Shaped

IGNORE = -1
"""The label of a true pixel that takes no part in any score."""

TOLERANCE = 1e-3
"""How far outside [0, 1] a probability, and how far from 1 their sum, may lie: rounding in float16 and in blending."""


def check_fits(argument: str, values: Shaped[np.ndarray, "..."], target: Integer[np.ndarray, "..."]) -> None:
    """Makes sure that there is one value for each pixel of the truth.

    Raises:
        ValueError: The shapes differ.

    Example:
        >>> check_fits("prediction", np.zeros((2, 2)), np.zeros((2, 3), dtype=np.int32))
        Traceback (most recent call last):
        ...
        ValueError: `prediction` must have the shape of `target`, (2, 3), got (2, 2).
    """
    if values.shape != target.shape:
        raise ValueError(f"`{argument}` must have the shape of `target`, {target.shape}, got {values.shape}.")


def check_labels(argument: str, labels: Integer[np.ndarray, "..."], *, num_classes: int) -> None:
    """Makes sure that every label is the id of a class; ignored pixels have been taken out before.

    Raises:
        ValueError: A label is below 0 or not below `num_classes`.

    Example:
        >>> check_labels("target", np.array([0, 1, 255]), num_classes=2)
        Traceback (most recent call last):
        ...
        ValueError: `target` must hold class ids in [0, 2), or -1 where the truth is ignored, got 255 (1 of 3 pixels).
    """
    outside = (labels < 0) | (labels >= num_classes)
    if outside.any():
        rule = f"class ids in [0, {num_classes}), or {IGNORE} where the truth is ignored"
        count = f"{np.count_nonzero(outside)} of {labels.size} pixels"
        raise ValueError(f"`{argument}` must hold {rule}, got {labels[outside][0]} ({count}).")


def check_probabilities(argument: str, values: Float[np.ndarray, "..."]) -> None:
    """Makes sure that every value is a probability, so that logits are not taken for some.

    Raises:
        ValueError: A value is nan, infinite, or outside [0, 1] by more than rounding.

    Example:
        >>> check_probabilities("probability", np.array([0.2, 1.7]))
        Traceback (most recent call last):
        ...
        ValueError: `probability` must be in [0, 1], got 1.7 (1 of 2 values).
    """
    outside = ~_within(values, -TOLERANCE, 1 + TOLERANCE)
    if outside.any():
        count = f"{np.count_nonzero(outside)} of {values.size} values"
        raise ValueError(f"`{argument}` must be in [0, 1], got {values[outside][0]} ({count}).")


def check_distributions(argument: str, values: Float[np.ndarray, "n k"]) -> None:
    """Makes sure that the probabilities of each pixel's classes sum up to 1.

    Raises:
        ValueError: A value is not a probability, or a pixel's sum is off by more than rounding.

    Example:
        >>> check_distributions("probabilities", np.array([[0.5, 0.5], [0.5, 0.9]]))
        Traceback (most recent call last):
        ...
        ValueError: `probabilities` must sum up to 1 over the classes, got a pixel with 1.4 (1 of 2 pixels).
    """
    check_probabilities(argument, values)
    sums = values.sum(axis=-1, dtype=np.float64)
    off = ~_within(sums, 1 - TOLERANCE, 1 + TOLERANCE)
    if off.any():
        count = f"{np.count_nonzero(off)} of {sums.size} pixels"
        raise ValueError(
            f"`{argument}` must sum up to 1 over the classes, got a pixel with {sums[off][0]:.4g} ({count})."
        )


def _within(values: Float[np.ndarray, "..."], low: float, high: float) -> Bool[np.ndarray, "..."]:
    """Whether each value is in [low, high]; nan is not."""
    return (values >= low) & (values <= high)
